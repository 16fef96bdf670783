// Sentencepiece models: ids and text equal those of the library's own Python package
// (tools/golden/make_sentencepiece_golden.py), and what krait adds to the library.
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr EncodeOptions kPlain = {.add_special_tokens = false, .parse_special_tokens = false};

std::string model_file(const std::string& name) { return golden_file("sentencepiece/" + name); }

std::unique_ptr<Tokenizer> small_bpe() {
  return load_tokenizer_sentencepiece(model_file("bpe.model"));
}

std::optional<std::string> mistral_file() {
  return test_data_file(KRAIT_TEST_SOURCE_DIR, "tokenizers/mistral-v3/tokenizer.model.v3");
}

size_t expect_golden(const Tokenizer& tokenizer, const std::string& file) {
  return expect_cases(tokenizer, read_json_file(file).at("cases"), kPlain);
}

TEST(SentencepieceGolden, SmallBpe) {
  EXPECT_EQ(expect_golden(*small_bpe(), model_file("bpe.json")), 229u);
}

TEST(SentencepieceGolden, SmallUnigramWithNormalisationRules) {
  const auto tokenizer = load_tokenizer_sentencepiece(model_file("unigram.model"));
  EXPECT_EQ(expect_golden(*tokenizer, model_file("unigram.json")), 227u);
}

TEST(SentencepieceGolden, Mistral) {
  const auto file = mistral_file();
  if (!file) GTEST_SKIP() << "no Mistral tokenizer: see KRAIT_TEST_DATA";
  const auto tokenizer = load_tokenizer_sentencepiece(*file);
  EXPECT_EQ(expect_golden(*tokenizer, model_file("mistral-v3.json")), 329u);
}

// For developers: thousands of cases from make_sentencepiece_golden.py --out FILE, over the model
// in KRAIT_SENTENCEPIECE or Mistral's.
TEST(SentencepieceGolden, GoldenFileOfTheDeveloper) {
  const char* cases = std::getenv("KRAIT_SENTENCEPIECE_GOLDEN");
  if (cases == nullptr) GTEST_SKIP() << "KRAIT_SENTENCEPIECE_GOLDEN names no file of cases";
  const char* named = std::getenv("KRAIT_SENTENCEPIECE");
  const auto file = named != nullptr ? std::optional<std::string>(named) : mistral_file();
  if (!file) GTEST_SKIP() << "no Mistral tokenizer: see KRAIT_TEST_DATA";
  const size_t count = expect_golden(*load_tokenizer_sentencepiece(*file), cases);
  RecordProperty("cases", static_cast<int>(count));
  EXPECT_GT(count, 0u);
}

TEST(Sentencepiece, TellsWhatItIs) {
  const auto tokenizer = small_bpe();
  EXPECT_EQ(tokenizer->kind(), "sentencepiece BPE");
  EXPECT_EQ(load_tokenizer_sentencepiece(model_file("unigram.model"))->kind(),
            "sentencepiece unigram");
  EXPECT_EQ(tokenizer->vocab_size(), 700);
  EXPECT_EQ(tokenizer->find("<s>"), 1);
  EXPECT_EQ(tokenizer->find("no such piece"), -1);
  EXPECT_EQ(tokenizer->token_text(1), "<s>");
  EXPECT_EQ(tokenizer->token_text(700), "");
  EXPECT_EQ(tokenizer->token_text(-1), "");
  EXPECT_TRUE(tokenizer->is_special(1));
  EXPECT_TRUE(tokenizer->is_special(tokenizer->find("[INST]")));
  for (const int32_t id : {-1, 0, tokenizer->find("<doc>"), 700})
    EXPECT_FALSE(tokenizer->is_special(id)) << id;
}

TEST(Sentencepiece, PiecesStandForBytes) {
  const auto tokenizer = small_bpe();
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("▁the")), " the");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("▁▁▁")), "   ");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("<0x0A>")), "\n");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("<0xFF>")), "\xFF");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("<0x00>")), std::string(1, '\0'));
  EXPECT_EQ(tokenizer->token_bytes(0), " ⁇ ");
  EXPECT_EQ(tokenizer->token_bytes(1), "");
  EXPECT_EQ(tokenizer->token_bytes(1, true), "<s>");
  EXPECT_EQ(tokenizer->token_bytes(700), "");
  EXPECT_THAT(message_of<InputError>([&] { tokenizer->token_bytes(-1); }), HasSubstr("-1"));
  EXPECT_EQ(load_tokenizer_sentencepiece(model_file("unigram.model"))->token_bytes(0), " ? ");
}

TEST(Sentencepiece, BosComesOnceAndOnlyWhenAskedFor) {
  const auto tokenizer = small_bpe();
  EXPECT_THAT(tokenizer->encode(""), ElementsAre(1));
  EXPECT_THAT(tokenizer->encode("", kPlain), ElementsAre());
  std::vector<int32_t> plain = tokenizer->encode("the", kPlain);
  plain.insert(plain.begin(), 1);
  EXPECT_EQ(tokenizer->encode("the"), plain);
}

TEST(Sentencepiece, ControlPiecesComeFromTextOnlyWhenAskedFor) {
  const auto tokenizer = small_bpe();
  const int32_t inst = tokenizer->find("[INST]");
  const int32_t the = tokenizer->find("▁the");
  EXPECT_THAT(tokenizer->encode("[INST] the"), ElementsAre(1, inst, the));
  EXPECT_THAT(tokenizer->encode("<s>", {.add_special_tokens = false}), ElementsAre(1));
  for (const int32_t id : tokenizer->encode("[INST] <s></s><unk>[/INST]", kPlain))
    EXPECT_FALSE(tokenizer->is_special(id) || id == 0) << id;
  EXPECT_EQ(decode(*tokenizer, tokenizer->encode("[INST] <s>", kPlain)), "[INST] <s>");
}

// "prepend_scheme": "first" of Hugging Face tokenizers.
TEST(Sentencepiece, TheDummyPrefixStandsAtTheStartOfTheTextOnly) {
  const auto tokenizer = small_bpe();
  const int32_t inst = tokenizer->find("[INST]");
  const int32_t the = tokenizer->find("▁the");
  EXPECT_THAT(tokenizer->encode("the[INST] the", kPlain).front(), the);
  EXPECT_THAT(tokenizer->encode("the[INST] the"), ElementsAre(1, the, inst, the));
  const std::vector<int32_t> glued = tokenizer->encode("[INST]the");
  EXPECT_NE(glued.at(2), the);
  EXPECT_EQ(decode(*tokenizer, glued), "the");
  constexpr EncodeOptions kContinues = {.add_special_tokens = false, .continues = true};
  EXPECT_THAT(tokenizer->encode(" the", kContinues), ElementsAre(the));
  EXPECT_NE(tokenizer->encode("the", kContinues).front(), the);
}

TEST(Sentencepiece, DecodeTakesTheDummyPrefixAwayOnce) {
  const auto tokenizer = small_bpe();
  const int32_t space = tokenizer->find("▁");
  const int32_t the = tokenizer->find("▁the");
  EXPECT_EQ(decode(*tokenizer, std::vector<int32_t>{the, the}), "the the");
  EXPECT_EQ(decode(*tokenizer, std::vector<int32_t>{1, the}), "the");
  EXPECT_EQ(decode(*tokenizer, std::vector<int32_t>{space, the}), " the");
  EXPECT_EQ(tokenizer->token_bytes(the), " the") << "within a text the space stays";
}

TEST(Sentencepiece, EveryByteStringEncodes) {
  const auto tokenizer = small_bpe();
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = "a" + std::string(1, static_cast<char>(byte)) + "b";
    const std::string back = decode(*tokenizer, tokenizer->encode(text));
    EXPECT_EQ(back, byte < 0x80 ? text : "a\uFFFDb") << byte;
  }
}

TEST(Sentencepiece, ALongLineTakesNoQuadraticTime) {
  const auto tokenizer = small_bpe();
  const std::string text(1 << 20, 'e');
  const auto ids = tokenizer->encode(text, kPlain);
  EXPECT_EQ(decode(*tokenizer, ids), text);
}

TEST(Sentencepiece, ThreadsShareATokenizer) {
  const auto tokenizer = small_bpe();
  const std::string text = "one text [INST] for all the threads é\n";
  const std::vector<int32_t> expected = tokenizer->encode(text);
  std::vector<std::vector<int32_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) result = tokenizer->encode(text);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(Sentencepiece, MistralKeepsItsControlPieces) {
  const auto file = mistral_file();
  if (!file) GTEST_SKIP() << "no Mistral tokenizer: see KRAIT_TEST_DATA";
  const auto tokenizer = load_tokenizer_sentencepiece(*file);
  EXPECT_EQ(tokenizer->vocab_size(), 32768);
  const auto ids = tokenizer->encode("[INST] Hello[/INST]");
  EXPECT_THAT(ids, ElementsAre(1, 3, tokenizer->find("▁Hello"), 4));
  EXPECT_EQ(tokenizer->encode("[REFERENCE_DOC_0]", kPlain).back(),
            tokenizer->find("[REFERENCE_DOC_0]"));
}

TEST(Bytes, IdsAreBytes) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(tokenizer->kind(), "bytes");
  EXPECT_EQ(tokenizer->vocab_size(), 256);
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  const std::vector<int32_t> ids = tokenizer->encode(text);
  std::string back;
  for (int32_t id = 0; id < 256; ++id) {
    EXPECT_EQ(ids[static_cast<size_t>(id)], id);
    EXPECT_EQ(tokenizer->find(tokenizer->token_text(id)), id);
    EXPECT_FALSE(tokenizer->is_special(id));
    back += tokenizer->token_bytes(id);
  }
  EXPECT_EQ(back, text);
  EXPECT_EQ(tokenizer->token_text(' '), "Ġ");
  EXPECT_EQ(tokenizer->token_text(256), "");
  EXPECT_EQ(tokenizer->token_bytes(256), "");
  EXPECT_THROW(tokenizer->token_bytes(-1), InputError);
  EXPECT_THROW(tokenizer->tables(), InputError);
  EXPECT_EQ(decode(*tokenizer, tokenizer->encode("é\xFF")), "é\uFFFD");
}

}  // namespace
}  // namespace krait::test
