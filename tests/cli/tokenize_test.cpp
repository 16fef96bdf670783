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

}  // namespace
}  // namespace krait
