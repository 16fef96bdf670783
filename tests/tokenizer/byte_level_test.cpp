// What a tokenizer does beyond the golden cases.
#include <chrono>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ByteLevelTokenizer, TellsWhatItIs) {
  const auto tokenizer = load_document(small_document());
  EXPECT_EQ(tokenizer->kind(), "byte-level BPE");
  EXPECT_EQ(tokenizer->vocab_size(), 904);
  EXPECT_EQ(tokenizer->find("<|endoftext|>"), 0);
  EXPECT_EQ(tokenizer->find("no such token"), -1);
  EXPECT_EQ(tokenizer->find(""), -1);
  EXPECT_TRUE(tokenizer->is_special(0));
  EXPECT_FALSE(tokenizer->is_special(2));
  EXPECT_FALSE(tokenizer->is_special(903)) << "two spaces: added, but text";
  EXPECT_EQ(tokenizer->token_text(tokenizer->find("Ġ")), "Ġ");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("Ġ")), " ");
}

TEST(ByteLevelTokenizer, AnswersForEveryId) {
  const auto tokenizer = load_document(small_document());
  for (const int32_t id : {-2147483647 - 1, -1, 904, 2147483647}) {
    EXPECT_EQ(tokenizer->token_text(id), "");
    EXPECT_FALSE(tokenizer->is_special(id));
  }
  EXPECT_EQ(tokenizer->token_bytes(904), "");
  EXPECT_EQ(tokenizer->token_bytes(2147483647, true), "");
  EXPECT_THAT(message_of<InputError>([&] { tokenizer->token_bytes(-1); }), HasSubstr("-1"));
  EXPECT_THROW(decode(*tokenizer, std::vector<int32_t>{2, -7}), InputError);
}

TEST(ByteLevelTokenizer, SpecialTokensGiveTextOnlyWhenAskedFor) {
  const auto tokenizer = load_document(small_document());
  const std::vector<int32_t> ids = tokenizer->encode("a<|endoftext|>  b");
  EXPECT_THAT(ids, ElementsAre(tokenizer->find("a"), 0, 903, tokenizer->find("b")));
  EXPECT_EQ(decode(*tokenizer, ids), "a  b");
  EXPECT_EQ(decode(*tokenizer, ids, true), "a<|endoftext|>  b");
  EXPECT_EQ(tokenizer->token_bytes(0), "");
  EXPECT_EQ(tokenizer->token_bytes(0, true), "<|endoftext|>");
}

TEST(ByteLevelTokenizer, HolesInTheVocabularyStandForNothing) {
  nlohmann::json document = small_document();
  document["model"]["vocab"]["zzz"] = 2000;
  const auto tokenizer = load_document(document);
  EXPECT_EQ(tokenizer->vocab_size(), 2001);
  EXPECT_EQ(tokenizer->token_bytes(1500), "");
  EXPECT_EQ(tokenizer->token_text(1500), "");
  EXPECT_EQ(decode(*tokenizer, std::vector<int32_t>{1500, 2000}), "zzz");
}

TEST(ByteLevelTokenizer, InvalidUtf8EncodesAsReplacementCharacters) {
  const auto tokenizer = load_document(small_document());
  EXPECT_EQ(tokenizer->encode("a\xFF\xE2\x82z"), tokenizer->encode("a\uFFFD\uFFFDz"));
  EXPECT_EQ(tokenizer->encode("\xF0\x9F"), tokenizer->encode("\uFFFD"));
}

TEST(ByteLevelTokenizer, NulBytesAreText) {
  const auto tokenizer = load_document(small_document());
  const std::string text("a\0\0b\0", 5);
  EXPECT_EQ(decode(*tokenizer, tokenizer->encode(text)), text);
}

TEST(ByteLevelTokenizer, RandomBytesComeBackRepaired) {
  nlohmann::json document = small_document();
  document["normalizer"] = nullptr;
  const auto tokenizer = load_document(document);
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (size_t size = random() % 200; bytes.size() < size;) bytes += static_cast<char>(random());
    Utf8Stream repaired;
    std::string expected = repaired.push(bytes);
    expected += repaired.finish();
    ASSERT_EQ(decode(*tokenizer, tokenizer->encode(bytes)), expected);
  }
}

TEST(ByteLevelTokenizer, IsSharedBetweenThreads) {
  const auto tokenizer = load_document(small_document());
  const nlohmann::json cases = read_json_file(golden_file("small/cases.json")).at("cases");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { expect_cases(*tokenizer, cases); });
  for (std::thread& thread : threads) thread.join();
}

double seconds_of(const Tokenizer& tokenizer, const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  tokenizer.encode(text);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string repeated(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

// 1 MB each; quadratic work would take minutes, and a sanitizer or a busy machine does not.
TEST(ByteLevelTokenizer, WorkGrowsWithTheTextOnly) {
  const auto tokenizer = load_document(small_document());
  std::mt19937 random(9);
  std::string bytes;
  std::string letters;
  for (int i = 0; i < 1'000'000; ++i) {
    bytes += static_cast<char>(random());
    letters += static_cast<char>('a' + random() % 26);
  }
  const std::vector<std::string> texts = {bytes,
                                          letters,
                                          repeated("a", 1'000'000),
                                          repeated(" ", 1'000'000),
                                          repeated("\n", 1'000'000),
                                          repeated("\t", 1'000'000),
                                          repeated("\u0301\u0316", 1'000'000),
                                          repeated("가", 1'000'000),
                                          repeated("\u1100\u1161", 1'000'000),
                                          repeated("<|endoftext|", 1'000'000),
                                          repeated("'s", 1'000'000),
                                          repeated("😀", 1'000'000)};
  for (const std::string& text : texts)
    EXPECT_LT(seconds_of(*tokenizer, text), 20) << testing::PrintToString(text.substr(0, 8));
}

TEST(ByteLevelTokenizer, TokensThatTakeWhiteSpaceDoNotMakeItQuadratic) {
  nlohmann::json document = small_document();
  document["added_tokens"] = nlohmann::json::parse(R"([{"id": 900, "content": "\n",
      "special": false, "normalized": false, "single_word": false, "lstrip": true,
      "rstrip": true}])");
  const auto tokenizer = load_document(document);
  const std::string text = repeated("\n", 1'000'000);
  EXPECT_LT(seconds_of(*tokenizer, text), 20);
  EXPECT_THAT(tokenizer->encode(text), ElementsAre(900));
}

TEST(ByteLevelTokenizer, EncodesEnglishFast) {
  const auto file = gpt_neox_file();
  if (!file) GTEST_SKIP() << "no GPT-NeoX tokenizer: see KRAIT_TEST_DATA";
  const auto folder = *test_data_folder(KRAIT_TEST_SOURCE_DIR) / "fairy-tales";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no English text: " << folder;
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream book(entry.path(), std::ios::binary);
    text.append(std::istreambuf_iterator<char>(book), {});
    if (text.size() > 2'000'000) break;
  }
  const auto tokenizer = load_tokenizer_json(*file);
  double seconds = seconds_of(*tokenizer, text);
  for (int i = 0; i < 4; ++i) seconds = std::min(seconds, seconds_of(*tokenizer, text));
  const double speed = static_cast<double>(text.size()) / 1e6 / seconds;
  RecordProperty("megabytes_per_second", std::to_string(speed));
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_GT(speed, 2) << "MB/s; far below what is aimed at, as test machines are busy";
#endif
}

}  // namespace
}  // namespace krait::test
