// Texts equal those of Jinja itself (tools/golden/make_template_golden.py).
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/template/render.h"

namespace krait::test {
namespace {

using nlohmann::ordered_json;

std::string golden_text(const std::string& name) {
  std::ifstream file(KRAIT_TEST_GOLDEN "/templates/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

ordered_json golden_json(const std::string& name) { return ordered_json::parse(golden_text(name)); }

// FNV-1a: enough to tell that a text is the same, at 16 characters instead of thousands.
std::string hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  char out[17];
  std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash));
  return out;
}

// Holds what the template makes of the variables to one case: {"text": ...}, {"hash": ...},
// {"raises": message} for raise_exception, {"fails": ...} for whatever else Jinja refuses.
void expect_case(const std::string& source, const ordered_json& variables,
                 const ordered_json& expected) {
  const Rendered result = try_render(source, variables);
  if (expected.contains("text")) {
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.text, expected.at("text").get<std::string>());
  } else if (expected.contains("hash")) {
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(hash_of(result.text), expected.at("hash").get<std::string>()) << result.text;
  } else if (expected.contains("raises")) {
    const std::string message = ": " + expected.at("raises").get<std::string>();
    EXPECT_TRUE(result.error.ends_with(message)) << result.error << "\nexpected" << message;
  } else {
    EXPECT_NE(result.error, "") << "Jinja says: " << expected.at("fails") << "\n" << result.text;
  }
}

class TemplateGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(TemplateGolden, EveryMessageList) {
  static const ordered_json inputs = golden_json("inputs.json").at("inputs");
  const std::string source = golden_text(GetParam() + ".jinja");
  const ordered_json results = golden_json("results.json").at("results").at(GetParam());
  ASSERT_EQ(inputs.size(), results.size());
  ASSERT_GE(inputs.size(), 200u);
  int texts = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    SCOPED_TRACE("input " + std::to_string(i) + ": " + inputs[i].dump());
    texts += results[i].contains("text") || results[i].contains("hash");
    expect_case(source, inputs[i], results[i]);
    if (HasFailure()) return;
  }
  EXPECT_GE(texts, 20) << "too few inputs that this template accepts";
}

std::vector<std::string> template_names() {
  std::vector<std::string> names;
  const ordered_json all = golden_json("results.json").at("results");
  for (const auto& [name, results] : all.items()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Published, TemplateGolden, ::testing::ValuesIn(template_names()),
                         [](const auto& each) {
                           std::string name = each.param;
                           for (char& c : name)
                             if (c == '-' || c == '.') c = '_';
                           return name;
                         });

void expect_snippets(const ordered_json& golden) {
  int failures = 0;
  for (const ordered_json& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("source").get<std::string>());
    const ordered_json& variables = (item.contains("variables") ? item : golden).at("variables");
    const bool failed_before = ::testing::Test::HasFailure();
    expect_case(item.at("source").get<std::string>(), variables, item);
    failures += !failed_before && ::testing::Test::HasFailure();
    if (failures == 5) return;
  }
}

TEST(TemplateGoldenSnippets, EveryFeature) {
  const ordered_json golden = golden_json("snippets.json");
  EXPECT_GE(golden.at("cases").size(), 200u);
  expect_snippets(golden);
}

TEST(TemplateGoldenSnippets, RandomExpressions) {
  const ordered_json golden = golden_json("expressions.json");
  EXPECT_GE(golden.at("cases").size(), 1000u);
  expect_snippets(golden);
}

// For developers: any number of cases from make_template_golden.py --expressions N --out FILE.
TEST(TemplateGoldenSnippets, FileOfTheDeveloper) {
  const char* file = std::getenv("KRAIT_TEMPLATE_GOLDEN");
  if (file == nullptr) GTEST_SKIP() << "KRAIT_TEMPLATE_GOLDEN names no file of cases";
  std::ifstream stream(file);
  const ordered_json golden = ordered_json::parse(stream);
  RecordProperty("cases", static_cast<int>(golden.at("cases").size()));
  expect_snippets(golden);
}

}  // namespace
}  // namespace krait::test
