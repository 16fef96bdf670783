// Ids equal those of Hugging Face tokenizers (tools/golden/make_tokenizer_golden.py).
#include "tests/tokenizer/golden.h"

#include <cstdlib>
#include <sstream>

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

// cases.inp: texts with a separator line between; cases.out: their ids, one line each.
TEST(TokenizerGolden, GptNeoxVocabularyTestOfLlamaCpp) {
  const auto file = gpt_neox_file();
  if (!file) GTEST_SKIP() << "no GPT-NeoX tokenizer: see KRAIT_TEST_DATA";
  const auto tokenizer = load_tokenizer_json(*file);
  const auto folder = std::filesystem::path(*file).parent_path();
  std::stringstream input;
  input << std::ifstream(folder / "cases.inp", std::ios::binary).rdbuf();
  std::ifstream output(folder / "cases.out");
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string texts = input.str();
  int cases = 0;
  for (size_t at = 0; at < texts.size(); ++cases) {
    const size_t end = std::min(texts.find(separator, at), texts.size());
    std::string line;
    ASSERT_TRUE(std::getline(output, line)) << "case " << cases;
    std::istringstream numbers(line);
    const std::vector<int32_t> ids(std::istream_iterator<int32_t>(numbers), {});
    EXPECT_EQ(tokenizer->encode(texts.substr(at, end - at)), ids) << "case " << cases;
    at = end + separator.size();
  }
  EXPECT_EQ(cases, 46);
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
