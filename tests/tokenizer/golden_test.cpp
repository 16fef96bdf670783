// Ids equal those of Hugging Face tokenizers (tools/golden/make_tokenizer_golden.py).
#include "tests/tokenizer/golden.h"

#include <cstdlib>

namespace krait::test {
namespace {

class KindOfTokenizer : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(TokenizerGolden, KindOfTokenizer,
                         testing::Values("small", "wide", "metaspace"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(KindOfTokenizer, AgreesInEveryCase) {
  const std::string kind = GetParam();
  const nlohmann::json golden = read_json_file(golden_file(kind + "/cases.json"));
  EXPECT_EQ(expect_cases(*load_document(golden_document(kind)), golden.at("cases")), 300u);
}

TEST_P(KindOfTokenizer, AgreesInEveryVariant) {
  const std::string kind = GetParam();
  const nlohmann::json golden = read_json_file(golden_file(kind + "/variants.json"));
  size_t cases = 0;
  for (const nlohmann::json& variant : golden.at("variants")) {
    SCOPED_TRACE(variant.at("name").get<std::string>());
    nlohmann::json document = golden_document(kind);
    document.merge_patch(variant.at("patch"));
    const nlohmann::json& given = variant.at("options");
    EncodeOptions options;
    options.add_special_tokens = given.value("add_special_tokens", true);
    options.parse_special_tokens = given.value("parse_special_tokens", true);
    cases += expect_cases(*load_document(document), variant.at("cases"), options);
  }
  EXPECT_GT(cases, 400u);
}

TEST(TokenizerGolden, GptNeox) {
  const auto file = gpt_neox_file();
  if (!file) GTEST_SKIP() << "no GPT-NeoX tokenizer: see KRAIT_TEST_DATA";
  const nlohmann::json golden = read_json_file(golden_file("gpt-neox.json"));
  EXPECT_EQ(expect_cases(*load_tokenizer_json(*file), golden.at("cases")), 500u);
}

TEST(TokenizerGolden, GptNeoxVocabularyTestOfLlamaCpp) {
  const auto file = gpt_neox_file();
  if (!file) GTEST_SKIP() << "no GPT-NeoX tokenizer: see KRAIT_TEST_DATA";
  const auto tokenizer = load_tokenizer_json(*file);
  const auto folder = std::filesystem::path(*file).parent_path();
  EXPECT_EQ(expect_llama_cpp_cases(*tokenizer, folder / "cases.inp", folder / "cases.out"), 46);
}

// For developers: thousands of cases from make_tokenizer_golden.py --out FILE, over the tokenizer
// in KRAIT_TOKENIZER or GPT-NeoX.
TEST(TokenizerGolden, GoldenFileOfTheDeveloper) {
  const char* cases = std::getenv("KRAIT_TOKENIZER_GOLDEN");
  if (cases == nullptr) GTEST_SKIP() << "KRAIT_TOKENIZER_GOLDEN names no file of cases";
  const char* named = std::getenv("KRAIT_TOKENIZER");
  const auto file = named != nullptr ? std::optional<std::string>(named) : gpt_neox_file();
  if (!file) GTEST_SKIP() << "no GPT-NeoX tokenizer: see KRAIT_TEST_DATA";
  const nlohmann::json golden = read_json_file(cases);
  const size_t count = expect_cases(*load_tokenizer_json(*file), golden.at("cases"));
  RecordProperty("cases", static_cast<int>(count));
  EXPECT_GT(count, 0u);
}

}  // namespace
}  // namespace krait::test
