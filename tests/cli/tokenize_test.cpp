// tokenize and bench.
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::HasSubstr;

TEST(Tokenize, JsonGivesIdsAndVocabularyStrings) {
  const auto value = run_json({"tokenize", "-m", test_model(), "-p", "He the"});
  EXPECT_EQ(value["tokens"], nlohmann::json::parse(R"(["H", "e", "Ġthe"])"));
  EXPECT_EQ(value["ids"].size(), 3u);
}

TEST(Tokenize, TableShowsIdsAndText) {
  const Result result = run({"tokenize", "-m", test_model(), "-p", "He the"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("  \"H\"\n"));
  EXPECT_THAT(result.out, HasSubstr("  \" the\"\n"));
  EXPECT_EQ(result.err, "3 tokens, 6 bytes\n");
}

TEST(Tokenize, DecodeTurnsIdsBackIntoText) {
  for (const std::string text : {"Hello, the world", "naïve 😀\ttab", "two\nlines\n"}) {
    std::string ids;
    const auto tokens = run_json({"tokenize", "-m", test_model(), "-p", text});
    for (const auto& id : tokens["ids"]) ids += (ids.empty() ? "" : ",") + id.dump();
    EXPECT_EQ(run({"tokenize", "-m", test_model(), "--decode", ids}).out, text + "\n");
    EXPECT_EQ(run_json({"tokenize", "-m", test_model(), "--decode", ids})["text"], text);
  }
}

TEST(Tokenize, NoSpecialReadsSpecialTokensAsText) {
  const std::vector<std::string> arguments = {"tokenize", "-m", test_model(), "-p",
                                              "<|endoftext|>"};
  EXPECT_EQ(run_json(arguments)["ids"], nlohmann::json::parse("[0]"));
  std::vector<std::string> plain = arguments;
  plain.push_back("--no-special");
  EXPECT_GT(run_json(plain)["ids"].size(), 1u);
  EXPECT_EQ(run({"tokenize", "-m", test_model(), "--decode", "0"}).out, "<|endoftext|>\n");
  EXPECT_EQ(run({"tokenize", "-m", test_model(), "--decode", "0", "--no-special"}).out, "\n");
}

TEST(Bench, JsonHasOneObjectPerTest) {
  const Result result =
      run({"bench", "-m", test_model(), "-p", "8,16", "-n", "4", "-r", "2", "-t", "1", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<nlohmann::json> tests;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) tests.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(tests.size(), 3u);
  EXPECT_EQ(tests[0]["n_prompt"], 8);
  EXPECT_EQ(tests[1]["n_prompt"], 16);
  EXPECT_EQ(tests[2]["n_gen"], 4);
  EXPECT_GT(tests[2]["roof_gb_s"].get<double>(), 0);
  EXPECT_GT(tests[2]["gb_s"].get<double>(), 0);
  EXPECT_NEAR(tests[2]["roof_share"].get<double>(),
              tests[2]["gb_s"].get<double>() / tests[2]["roof_gb_s"].get<double>(), 1e-9);
  for (const auto& test : tests) {
    EXPECT_EQ(test["model"], test_model());
    EXPECT_EQ(test["dtype"], "f32");
    EXPECT_EQ(test["device"], "cpu");
    EXPECT_EQ(test["threads"], 1);
    EXPECT_EQ(test["batch"], 1);
    const auto& speed = test["tok_s"];
    EXPECT_GT(speed["min"].get<double>(), 0);
    EXPECT_LE(speed["min"].get<double>(), speed["median"].get<double>());
    EXPECT_LE(speed["median"].get<double>(), speed["max"].get<double>());
    EXPECT_GT(test["weight_bytes_per_token"].get<int64_t>(), 0);
    EXPECT_GT(test["peak_rss_bytes"].get<int64_t>(), 0);
  }
}

TEST(Bench, TableHasOneRowPerTest) {
  const Result result = run({"bench", "-m", test_model(), "-p", "8", "-n", "4", "-r", "1"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("\nprefill "));
  EXPECT_THAT(result.out, HasSubstr("\ndecode "));
  EXPECT_THAT(result.out, HasSubstr("peak memory"));
}

}  // namespace
}  // namespace krait
