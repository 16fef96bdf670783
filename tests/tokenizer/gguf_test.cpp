// Tokenizers from GGUF metadata: real vocabularies, round trips through tables(), and a rule a
// test.
#include <algorithm>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "src/formats/open.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kFile = "vocab.gguf";

std::unique_ptr<Tokenizer> load(const json& metadata) {
  return load_tokenizer_gguf(metadata, kFile);
}

// A byte-level vocabulary of seven tokens.
json tiny() {
  return {{"tokenizer.ggml.model", "gpt2"},
          {"tokenizer.ggml.pre", "gpt-2"},
          {"tokenizer.ggml.tokens", {"a", "b", "ab", "<e>", "  ", "[PAD5]", "c"}},
          {"tokenizer.ggml.token_type", {1, 1, 1, 3, 4, 4, 5}},
          {"tokenizer.ggml.merges", {"a b"}},
          {"tokenizer.ggml.bos_token_id", 3},
          {"tokenizer.ggml.eos_token_id", 3}};
}

// A sentencepiece vocabulary: unknown, two control pieces, bytes, and a few normal pieces.
json tiny_llama() {
  json tokens = {"<unk>", "<s>", "</s>"};
  json types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    tokens.push_back(text);
    types.push_back(6);
  }
  for (const char* piece : {"▁a", "▁", "a", "b"}) {
    tokens.push_back(piece);
    types.push_back(1);
  }
  json scores = json::array();
  for (size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i));
  return {{"tokenizer.ggml.model", "llama"},    {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", types}, {"tokenizer.ggml.scores", scores},
          {"tokenizer.ggml.bos_token_id", 1},   {"tokenizer.ggml.eos_token_id", 2}};
}

json with(json metadata, const std::string& key, const json& value) {
  metadata["tokenizer.ggml." + key] = value;
  return metadata;
}

// The message names the file, the key, what is there and what should be.
void expect_refused(const json& metadata, const std::string& place, const std::string& expected) {
  EXPECT_THAT(message_of<InputError>([&] { load(metadata); }),
              AllOf(HasSubstr("vocab.gguf: tokenizer.ggml." + place + " is "),
                    HasSubstr("expected "), HasSubstr(expected)));
}

// The metadata that a file with these tables would have.
json metadata_of(const VocabularyTables& tables, int32_t bos) {
  json metadata = {{"tokenizer.ggml.model", tables.model},
                   {"tokenizer.ggml.tokens", tables.tokens},
                   {"tokenizer.ggml.token_type", tables.token_type},
                   {"tokenizer.ggml.add_bos_token", tables.add_bos_token},
                   {"tokenizer.ggml.add_eos_token", tables.add_eos_token},
                   {"tokenizer.ggml.bos_token_id", bos}};
  if (tables.model == "llama") {
    metadata["tokenizer.ggml.scores"] = tables.scores;
    metadata["tokenizer.ggml.add_space_prefix"] = tables.add_space_prefix;
  } else {
    metadata["tokenizer.ggml.pre"] = tables.pre;
    metadata["tokenizer.ggml.merges"] = tables.merges;
  }
  return metadata;
}

std::optional<json> vocabulary_file(const std::string& name) {
  const auto file = test_data_file(KRAIT_TEST_SOURCE_DIR, "tokenizers/gguf/" + name);
  if (!file) return std::nullopt;
  return open_checkpoint(*file)->config();
}

TEST(GgufTokenizer, FalconVocabularyTestOfLlamaCpp) {
  const auto metadata = vocabulary_file("ggml-vocab-falcon.gguf");
  if (!metadata) GTEST_SKIP() << "no Falcon vocabulary: see KRAIT_TEST_DATA";
  const auto stem =
      *test_data_file(KRAIT_TEST_SOURCE_DIR, "tokenizers/gguf/ggml-vocab-falcon.gguf");
  EXPECT_EQ(expect_llama_cpp_cases(*load(*metadata), stem + ".inp", stem + ".out"), 46);
}

// The vocabulary without a name is MPT's, too.
TEST(GgufTokenizer, GptNeoxVocabularyTestOfLlamaCpp) {
  const auto metadata = vocabulary_file("ggml-vocab-gpt-neox.gguf");
  const auto json_file = gpt_neox_file();
  if (!metadata || !json_file) GTEST_SKIP() << "no GPT-NeoX vocabulary: see KRAIT_TEST_DATA";
  const auto folder = std::filesystem::path(*json_file).parent_path();
  const auto tokenizer = load(with(*metadata, "pre", "mpt"));
  EXPECT_EQ(expect_llama_cpp_cases(*tokenizer, folder / "cases.inp", folder / "cases.out"), 46);
  EXPECT_EQ(tokenizer->vocab_size(), 50277) << "padding rows have no string";
  const auto from_json = load_tokenizer_json(*json_file);
  for (int spaces = 2; spaces <= 30; ++spaces) {
    const std::string text = std::string(static_cast<size_t>(spaces), ' ') + "x";
    const auto ids = tokenizer->encode(text);
    EXPECT_EQ(ids, from_json->encode(text)) << spaces;
    EXPECT_EQ(decode(*tokenizer, ids), text);
  }
  for (const int32_t id : tokenizer->encode("[PAD50277]")) EXPECT_LT(id, 50277);
}

TEST(GgufTokenizer, ReadsByteLevelTokens) {
  const auto tokenizer = load(tiny());
  EXPECT_EQ(tokenizer->kind(), "byte-level BPE");
  EXPECT_THAT(tokenizer->encode("abba"), ElementsAre(2, 1, 0));
  EXPECT_THAT(tokenizer->encode("a  b<e>"), ElementsAre(0, 4, 1, 3));
  EXPECT_THAT(tokenizer->encode("a  b<e>", {.parse_special_tokens = false}), ElementsAre(0, 4, 1));
  EXPECT_TRUE(tokenizer->is_special(3));
  EXPECT_FALSE(tokenizer->is_special(4));
}

TEST(GgufTokenizer, NeverMatchesUnusedTokens) {
  const auto tokenizer = load(tiny());
  EXPECT_THAT(tokenizer->encode("[PAD5]"), ElementsAre());
  EXPECT_THAT(tokenizer->encode("c"), ElementsAre());
  EXPECT_EQ(tokenizer->find("[PAD5]"), -1);
  EXPECT_EQ(tokenizer->vocab_size(), 5);
  json other = tiny();
  other["tokenizer.ggml.tokens"][5] = "[PAD6]";
  EXPECT_THAT(load(other)->encode("[PAD6]"), ElementsAre(5)) << "not its own index";
}

TEST(GgufTokenizer, NothingIsThereWithoutItsKeys) {
  EXPECT_EQ(load(json::object()), nullptr);
  EXPECT_EQ(load({{"general.architecture", "mamba"}}), nullptr);
  EXPECT_EQ(load({{"tokenizer.ggml.model", "none"}}), nullptr);
}

TEST(GgufTokenizer, PreTokenizersByName) {
  const auto pieces = [](const json& pre, std::string_view text) {
    json metadata = with(tiny(), "tokens", {"'", "t", "'t", "T", "'T", "1", "11", "111", "1111"});
    metadata["tokenizer.ggml.token_type"] = std::vector<int>(9, 1);
    metadata["tokenizer.ggml.merges"] = {"' t", "' T", "1 1", "11 1", "111 1"};
    metadata["tokenizer.ggml.add_bos_token"] = false;
    metadata["tokenizer.ggml.pre"] = pre;
    return load(metadata)->encode(text);
  };
  for (const char* pre : {"gpt-2", "mpt", "olmo", "jais"}) {
    EXPECT_THAT(pieces(pre, "'t"), ElementsAre(2));
    EXPECT_THAT(pieces(pre, "'T"), ElementsAre(0, 3));
    EXPECT_THAT(pieces(pre, "1111"), ElementsAre(6, 6));
  }
  EXPECT_THAT(pieces("falcon", "'t1111"), ElementsAre(0, 1, 7, 5)) << "punctuation comes first";
  for (const json& pre : {json("default"), json()})
    EXPECT_THAT(pieces(pre, "'t1111"), ElementsAre(0, 1, 7, 5));
  for (const char* pre : {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1"}) {
    EXPECT_THAT(pieces(pre, "'T"), ElementsAre(4)) << "contractions in capitals";
    EXPECT_THAT(pieces(pre, "1111"), ElementsAre(7, 5));
  }
}

TEST(GgufTokenizer, Llama3TakesWholeWordsAndABosUnlessToldOtherwise) {
  json metadata = with(tiny(), "merges", json::array());
  EXPECT_THAT(load(metadata)->encode("ab"), ElementsAre(0, 1));
  metadata["tokenizer.ggml.pre"] = "llama-bpe";
  EXPECT_THAT(load(metadata)->encode("ab"), ElementsAre(3, 2));
  metadata["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_THAT(load(metadata)->encode("ab"), ElementsAre(2));
}

TEST(GgufTokenizer, AddsBosAndEosWhereToldSo) {
  json metadata = with(tiny(), "add_bos_token", true);
  EXPECT_THAT(load(metadata)->encode("a"), ElementsAre(3, 0));
  metadata["tokenizer.ggml.add_eos_token"] = true;
  EXPECT_THAT(load(metadata)->encode("a"), ElementsAre(3, 0, 3));
  EXPECT_THAT(load(metadata)->encode("a", {.add_special_tokens = false}), ElementsAre(0));
}

TEST(GgufTokenizer, ReadsSentencepieces) {
  const auto tokenizer = load(tiny_llama());
  EXPECT_EQ(tokenizer->kind(), "sentencepiece BPE");
  EXPECT_THAT(tokenizer->encode("a"), ElementsAre(1, 259));
  EXPECT_THAT(tokenizer->encode("a</s>\n"), ElementsAre(1, 259, 2, 3 + '\n'));
  EXPECT_EQ(decode(*tokenizer, tokenizer->encode("a  b\n")), "a  b\n");
  EXPECT_THAT(load(with(tiny_llama(), "add_space_prefix", false))->encode("a"),
              ElementsAre(1, 261));
  EXPECT_THAT(load(with(tiny_llama(), "add_bos_token", false))->encode("a"), ElementsAre(259));
  EXPECT_THAT(load(with(tiny_llama(), "add_eos_token", true))->encode("a"), ElementsAre(1, 259, 2));
}

TEST(GgufTokenizer, SentencepiecePaddingIsNoPiece) {
  json metadata = tiny_llama();
  metadata["tokenizer.ggml.tokens"].push_back("[PAD263]");
  metadata["tokenizer.ggml.token_type"].push_back(4);
  metadata["tokenizer.ggml.scores"].push_back(0);
  EXPECT_EQ(load(metadata)->vocab_size(), 263);
  EXPECT_EQ(load(metadata)->encode("[PAD263]"), load(tiny_llama())->encode("[PAD263]"));
}

void expect_same_ids(const Tokenizer& a, const Tokenizer& b, const json& cases) {
  EXPECT_EQ(a.vocab_size(), b.vocab_size());
  for (const json& item : cases) {
    const auto text = item.at(0).get<std::string>();
    for (const bool special : {false, true})
      ASSERT_EQ(a.encode(text, {special, special}), b.encode(text, {special, special})) << text;
    ASSERT_EQ(decode(a, a.encode(text)), decode(b, b.encode(text))) << text;
  }
}

TEST(GgufTokenizer, ByteLevelTablesMakeTheSameTokenizer) {
  json document = small_document();
  document["normalizer"] = nullptr;  // GGUF has none
  const auto tokenizer = load_document(document);
  const auto again = load(metadata_of(tokenizer->tables(), 0));
  expect_same_ids(*tokenizer, *again, read_json_file(golden_file("small/cases.json")).at("cases"));
  EXPECT_EQ(again->tables().merges, tokenizer->tables().merges);
}

TEST(GgufTokenizer, SentencepieceTablesMakeTheSameTokenizer) {
  const auto tokenizer = load_tokenizer_sentencepiece(golden_file("sentencepiece/bpe.model"));
  const VocabularyTables tables = tokenizer->tables();
  const auto again = load(metadata_of(tables, 1));
  const json cases = read_json_file(golden_file("sentencepiece/bpe.json")).at("cases");
  expect_same_ids(*tokenizer, *again, cases);
  EXPECT_EQ(again->tables().scores, tables.scores);
  EXPECT_EQ(again->tables().token_type, tables.token_type);
  EXPECT_TRUE(tables.add_bos_token && tables.add_space_prefix && !tables.add_eos_token);
  EXPECT_THAT(message_of<InputError>([] {
                load_tokenizer_sentencepiece(golden_file("sentencepiece/unigram.model"))->tables();
              }),
              HasSubstr("unigram"));
}

TEST(GgufTokenizerRules, RefusesAnotherModel) {
  expect_refused(with(tiny(), "model", "bert"), "model", "\"gpt2\"");
  expect_refused(with(tiny(), "model", 7), "model", "a string");
  expect_refused(with(tiny(), "model", nullptr), "model", "a string");
}

TEST(GgufTokenizerRules, RefusesAnotherPreTokenizer) {
  expect_refused(with(tiny(), "pre", "qwen2"), "pre", "falcon");
  expect_refused(with(tiny(), "pre", 1), "pre", "a string");
}

TEST(GgufTokenizerRules, RefusesTokensThatAreNoStrings) {
  expect_refused(with(tiny(), "tokens", nullptr), "tokens", "an array");
  expect_refused(with(tiny(), "tokens", json::array()), "tokens", "1 to ");
  expect_refused(with(tiny(), "tokens", {"a", 1}), "token_type", "as many elements");
  json metadata = tiny();
  metadata["tokenizer.ggml.tokens"][1] = 1;
  expect_refused(metadata, "tokens[1]", "a string");
}

TEST(GgufTokenizerRules, RefusesATokenTwice) {
  json metadata = tiny();
  metadata["tokenizer.ggml.tokens"][4] = "a";
  expect_refused(metadata, "tokens[4]", "another: that is token 0");
}

TEST(GgufTokenizerRules, RefusesTypesOutOfRange) {
  for (const json& type : {json(0), json(7), json(-1), json(1.0), json(UINT64_MAX), json("1")}) {
    json metadata = tiny();
    metadata["tokenizer.ggml.token_type"][2] = type;
    expect_refused(metadata, "token_type[2]", "1 to 6");
  }
  json metadata = tiny();
  metadata["tokenizer.ggml.token_type"][2] = 6;
  expect_refused(metadata, "token_type[2]", "1 to 5");
  expect_refused(with(tiny(), "token_type", nullptr), "token_type", "an array");
  expect_refused(with(tiny(), "token_type", {1}), "token_type", "as many elements");
}

TEST(GgufTokenizerRules, RefusesMergesThatAreNone) {
  expect_refused(with(tiny(), "merges", nullptr), "merges", "an array");
  for (const char* merge : {"ab", "", "a b c"})
    expect_refused(with(tiny(), "merges", {"a b", merge}), "merges[1]", "two parts");
  expect_refused(with(tiny(), "merges", {3}), "merges[0]", "two strings");
  expect_refused(with(tiny(), "merges", {"a x"}), "merges[0]", "\"x\" is not");
  expect_refused(with(tiny(), "merges", {"b a"}), "merges[0]", "\"ba\" is not");
  expect_refused(with(tiny(), "merges", {"a <e>"}), "merges[0]", "\"<e>\" is not");
}

TEST(GgufTokenizerRules, RefusesEndsWithoutAnId) {
  json metadata = with(tiny(), "add_bos_token", true);
  expect_refused(with(metadata, "bos_token_id", nullptr), "bos_token_id", "a whole number");
  expect_refused(with(metadata, "bos_token_id", 7), "bos_token_id", "0 to 6");
  expect_refused(with(metadata, "bos_token_id", 5), "bos_token_id", "in use");
  expect_refused(with(metadata, "add_eos_token", 1), "add_eos_token", "true or false");
}

TEST(GgufTokenizerRules, RefusesScoresThatAreNone) {
  expect_refused(with(tiny_llama(), "scores", nullptr), "scores", "an array");
  expect_refused(with(tiny_llama(), "scores", {1.0}), "scores", "as many elements");
  json metadata = tiny_llama();
  metadata["tokenizer.ggml.scores"][3] = "x";
  expect_refused(metadata, "scores[3]", "a number");
  metadata["tokenizer.ggml.scores"][3] = std::numeric_limits<float>::infinity();
  expect_refused(metadata, "scores[3]", "a finite number");
}

TEST(GgufTokenizerRules, RefusesPiecesThatAreNone) {
  const auto changed = [](const char* key, size_t id, const json& value) {
    json metadata = tiny_llama();
    metadata["tokenizer.ggml." + std::string(key)][id] = value;
    return metadata;
  };
  expect_refused(changed("tokens", 260, ""), "tokens[260]", "1 to 4096");
  expect_refused(changed("tokens", 260, "a"), "tokens[261]", "another: that is piece 260");
  expect_refused(changed("tokens", 10, "<0xGG>"), "tokens[10]", "<0x00> to <0xFF>");
  expect_refused(changed("token_type", 260, 2), "token_type[260]", "piece 0 has it already");
  EXPECT_THAT(message_of<InputError>([&] { load(changed("token_type", 0, 1)); }),
              HasSubstr("no piece has type 2"));
  EXPECT_THAT(message_of<InputError>([&] { load(changed("token_type", 10, 1)); }),
              HasSubstr("255 pieces of bytes"));
}

TEST(GgufTokenizerRules, RefusesNormalisationOfSentencepieces) {
  expect_refused(with(tiny_llama(), "precompiled_charsmap", {1}), "precompiled_charsmap", "none");
  expect_refused(with(tiny_llama(), "remove_extra_whitespaces", true), "remove_extra_whitespaces",
                 "false");
  expect_refused(with(tiny_llama(), "add_space_prefix", 1), "add_space_prefix", "true or false");
}

}  // namespace
}  // namespace krait::test
