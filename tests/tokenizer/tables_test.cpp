// What tokenizers give to a writer of GGUF files.
#include <algorithm>
#include <map>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

VocabularyTables tables_of(const json& document) { return load_document(document)->tables(); }

std::string refusal(const json& document) {
  const auto tokenizer = load_document(document);
  return message_of<InputError>([&] { tokenizer->tables(); });
}

size_t count(const VocabularyTables& tables, GgufTokenType type) {
  return static_cast<size_t>(
      std::count(tables.token_type.begin(), tables.token_type.end(), static_cast<int32_t>(type)));
}

// The document with a variant's patch of its golden file applied.
json variant_of(const std::string& kind, const std::string& name) {
  json document = golden_document(kind);
  const json golden = read_json_file(golden_file(kind + "/variants.json"));
  for (const json& variant : golden.at("variants"))
    if (variant.at("name") == name) {
      document.merge_patch(variant.at("patch"));
      return document;
    }
  ADD_FAILURE() << "no variant " << name;
  return document;
}

TEST(Tables, OfAByteLevelTokenizer) {
  json document = small_document();
  document["model"]["vocab"]["zzz"] = 906;
  const VocabularyTables tables = tables_of(document);
  EXPECT_EQ(tables.model, "gpt2");
  EXPECT_EQ(tables.pre, "gpt-2");
  ASSERT_EQ(tables.tokens.size(), 907u);
  ASSERT_EQ(tables.token_type.size(), 907u);
  EXPECT_EQ(tables.tokens[0], "<|endoftext|>");
  EXPECT_EQ(tables.tokens[903], "  ") << "added tokens as they are";
  EXPECT_EQ(tables.tokens[904], "[PAD904]");
  EXPECT_EQ(tables.tokens[906], "zzz");
  EXPECT_NE(std::find(tables.tokens.begin(), tables.tokens.end(), "\u0120"), tables.tokens.end());
  EXPECT_EQ(tables.token_type[0], GgufTokenType::control);
  EXPECT_EQ(tables.token_type[903], GgufTokenType::user_defined);
  EXPECT_EQ(tables.token_type[904], GgufTokenType::unused);
  EXPECT_EQ(tables.token_type[906], GgufTokenType::normal);
  EXPECT_EQ(count(tables, GgufTokenType::control), 2u);
  EXPECT_EQ(count(tables, GgufTokenType::user_defined), 4u);
  EXPECT_THAT(tables.scores, IsEmpty());
  EXPECT_FALSE(tables.add_bos_token || tables.add_eos_token || tables.add_space_prefix);
}

TEST(Tables, MergesAreThoseOfTheFile) {
  const json document = small_document();
  std::vector<std::string> expected;
  for (const json& merge : document["model"]["merges"])
    expected.push_back(merge.is_string()
                           ? merge.get<std::string>()
                           : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  EXPECT_GT(expected.size(), 600u);
  EXPECT_EQ(tables_of(document).merges, expected);
}

TEST(Tables, NameThePreTokenizer) {
  EXPECT_EQ(tables_of(variant_of("wide", "falcon")).pre, "falcon");
  EXPECT_EQ(tables_of(variant_of("wide", "gpt-2 as a split")).pre, "gpt-2");
  const VocabularyTables llama3 = tables_of(variant_of("wide", "llama 3"));
  EXPECT_EQ(llama3.pre, "llama-bpe");
  EXPECT_TRUE(llama3.add_bos_token);
  EXPECT_FALSE(llama3.add_eos_token);
}

TEST(Tables, RefuseWhatGgufCannotSayOfTheByteLevel) {
  EXPECT_THAT(refusal(variant_of("wide", "cl100k")), HasSubstr("the pre-tokenizer is none of"));
  EXPECT_THAT(refusal(variant_of("wide", "llama 3 without whole words")),
              HasSubstr("without ignore_merges"));
  EXPECT_THAT(refusal(variant_of("small", "whole words")), HasSubstr("ignore_merges without"));
  EXPECT_THAT(refusal(variant_of("small", "NFKC")), HasSubstr("another than NFC"));
  EXPECT_THAT(refusal(variant_of("small", "prefix space")), HasSubstr("add_prefix_space"));
  EXPECT_THAT(refusal(variant_of("small", "stripping tokens")),
              AllOf(HasSubstr("\"<m>\""), HasSubstr("lstrip")));
  EXPECT_THAT(refusal(variant_of("small", "template")), HasSubstr("more than one token"));
  json spaces = small_document();
  spaces["model"]["vocab"].update({{"a b", 905}, {"a ba", 906}});
  spaces["model"]["merges"] = json::array({json::array({"a b", "a"})});
  EXPECT_THAT(refusal(spaces), HasSubstr("\"a b a\""));
}

TEST(Tables, OfALlamaStyleTokenizer) {
  const json document = metaspace_document();
  const VocabularyTables tables = tables_of(document);
  EXPECT_EQ(tables.model, "llama");
  EXPECT_EQ(tables.pre, "");
  EXPECT_THAT(tables.merges, IsEmpty());
  EXPECT_EQ(count(tables, GgufTokenType::byte), 256u);
  EXPECT_EQ(tables.token_type[0], GgufTokenType::unknown);
  EXPECT_EQ(tables.token_type[1], GgufTokenType::control);
  EXPECT_EQ(tables.token_type[3], GgufTokenType::byte);
  EXPECT_EQ(tables.tokens[3], "<0x00>");
  EXPECT_TRUE(tables.add_bos_token);
  EXPECT_TRUE(tables.add_space_prefix);
  ASSERT_EQ(tables.scores.size(), tables.tokens.size());
  // The tokens that merges make follow the bytes, in the order of their merges.
  EXPECT_EQ(tables.scores[259], 0);
  for (size_t id = 260; id < 500; ++id) ASSERT_LT(tables.scores[id], tables.scores[id - 1]) << id;
  EXPECT_FALSE(tables_of(variant_of("metaspace", "metaspace never")).add_space_prefix);
  EXPECT_TRUE(tables_of(variant_of("metaspace", "metaspace first")).add_space_prefix);
}

TEST(Tables, RefuseWhatGgufCannotSayOfALlamaStyleTokenizer) {
  EXPECT_THAT(refusal(variant_of("metaspace", "whole words")), HasSubstr("ignore_merges"));
  EXPECT_THAT(refusal(variant_of("metaspace", "unknown, fused")),
              HasSubstr("bytes have no tokens"));
  EXPECT_THAT(refusal(variant_of("metaspace", "metaspace always, split")),
              HasSubstr("split at spaces"));
  json document = metaspace_document();
  json& merges = document["model"]["merges"];
  merges.erase(0);
  EXPECT_THAT(refusal(document), HasSubstr("that no merge joins"));
  merges = json::parse(R"(["a b", "b c", "a bc", "b d", "ab c"])");
  const std::map<std::string, int> made = {{"ab", 2000}, {"bc", 2001}, {"abc", 2002}, {"bd", 2003}};
  for (const auto& [text, id] : made)
    if (!document["model"]["vocab"].contains(text)) document["model"]["vocab"][text] = id;
  EXPECT_THAT(refusal(document), HasSubstr("\"abc\" do not stand together"));
}

}  // namespace
}  // namespace krait::test
