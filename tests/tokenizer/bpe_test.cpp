#include "src/tokenizer/bpe.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/tokenizer/byte_alphabet.h"

namespace krait {
namespace {

using ::testing::ElementsAre;

// The 256 bytes are ids 0 to 255; `words` follow.
Vocabulary vocabulary_with(const std::vector<std::string>& words) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    vocabulary.add(byte, alphabet_from_bytes({&c, 1}), {&c, 1});
  }
  for (const std::string& word : words)
    vocabulary.add(vocabulary.size(), alphabet_from_bytes(word), word);
  return vocabulary;
}

std::vector<int32_t> encoded(const Bpe& bpe, std::string_view piece) {
  std::vector<int32_t> ids;
  bpe.encode(piece, ids);
  return ids;
}

TEST(Bpe, MergesTheLowestRankFirstAndLeftmostFirst) {
  const Vocabulary vocabulary = vocabulary_with({"bc", "ab", "aa", "abc"});
  const std::vector<Merge> merges = {{'b', 'c', 256}, {'a', 'b', 257}, {'a', 'a', 258}};
  const Bpe bpe(vocabulary, merges, false);
  EXPECT_THAT(encoded(bpe, "abc"), ElementsAre('a', 256)) << "bc before ab";
  EXPECT_THAT(encoded(bpe, "aaa"), ElementsAre(258, 'a')) << "the left pair";
  EXPECT_THAT(encoded(bpe, "abab"), ElementsAre(257, 257));
  EXPECT_THAT(encoded(bpe, ""), ElementsAre());
}

TEST(Bpe, TheLastOfRepeatedMergesCounts) {
  const Vocabulary vocabulary = vocabulary_with({"ab", "bc"});
  const std::vector<Merge> merges = {{'a', 'b', 256}, {'b', 'c', 257}, {'a', 'b', 256}};
  EXPECT_THAT(encoded(Bpe(vocabulary, merges, false), "abc"), ElementsAre('a', 257));
}

TEST(Bpe, ATokenThatNoMergeMakesAppearsOnlyAsAWholeWord) {
  const Vocabulary vocabulary = vocabulary_with({"word"});
  EXPECT_THAT(encoded(Bpe(vocabulary, {}, false), "word"), ElementsAre('w', 'o', 'r', 'd'));
  EXPECT_THAT(encoded(Bpe(vocabulary, {}, true), "word"), ElementsAre(256));
  EXPECT_THAT(encoded(Bpe(vocabulary, {}, true), "words"), ElementsAre('w', 'o', 'r', 'd', 's'));
}

TEST(Bpe, LeavesOutBytesWithoutATokenAndMergesAcrossThem) {
  Vocabulary vocabulary;
  vocabulary.add(0, "a", "a");
  vocabulary.add(1, "b", "b");
  vocabulary.add(5, "ab", "ab");
  const std::vector<Merge> merges = {{0, 1, 5}};
  const Bpe bpe(vocabulary, merges, false);
  EXPECT_THAT(encoded(bpe, "axb"), ElementsAre(5));
  EXPECT_THAT(encoded(bpe, "xyz"), ElementsAre());
  EXPECT_THAT(encoded(bpe, std::string(100, 'x')), ElementsAre());
  EXPECT_EQ(bpe.byte_token('x'), -1);
  EXPECT_EQ(bpe.byte_token('b'), 1);
}

// Random merges over three letters, so that pairs collide and chains grow.
TEST(Bpe, BothWaysToMergeAgree) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    Vocabulary vocabulary = vocabulary_with({});
    std::vector<int32_t> known = {'a', 'b', 'c'};
    std::vector<Merge> merges;
    for (int i = 0; i < 40; ++i) {
      const int32_t left = known[random() % known.size()];
      const int32_t right = known[random() % known.size()];
      const std::string bytes =
          std::string(vocabulary.bytes(left)) + std::string(vocabulary.bytes(right));
      int32_t result = vocabulary.find(bytes);
      if (result < 0) {
        result = vocabulary.size();
        vocabulary.add(result, bytes, bytes);
        known.push_back(result);
      }
      merges.push_back({left, right, result});
    }
    std::shuffle(merges.begin(), merges.end(), random);
    const Bpe bpe(vocabulary, merges, false);
    for (int i = 0; i < 50; ++i) {
      std::string piece;
      for (size_t size = random() % (Bpe::kShortPiece + 1); piece.size() < size;)
        piece += static_cast<char>('a' + random() % 3);
      std::vector<int32_t> by_scan;
      std::vector<int32_t> by_heap;
      bpe.merge_short(piece, by_scan);
      bpe.merge_long(piece, by_heap);
      ASSERT_EQ(by_scan, by_heap) << piece;
      ASSERT_EQ(encoded(bpe, piece), by_scan) << piece;
    }
  }
}

TEST(ByteAlphabet, HasACharacterForEveryByteAndNoOther) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  const std::string text = alphabet_from_bytes(bytes);
  EXPECT_EQ(bytes_from_alphabet(text), bytes);
  EXPECT_EQ(alphabet_from_bytes(" \n\xAD\xFFz"), "ĠĊŃÿz");
  EXPECT_EQ(bytes_from_alphabet(" "), std::nullopt);
  EXPECT_EQ(bytes_from_alphabet("ań"), std::nullopt) << "U+0144, the first that is too high";
  EXPECT_EQ(bytes_from_alphabet("\u00AD"), std::nullopt);
  EXPECT_EQ(bytes_from_alphabet("日"), std::nullopt);
}

}  // namespace
}  // namespace krait
