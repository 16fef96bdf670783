// Several completions, the best of them, and log-probabilities.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;
using nlohmann::json;

Arguments generate(const Arguments& more) {
  Arguments all = {"generate", "-m", test_model(), "-p", "The", "-n",          "12",
                   "-s",       "3",  "--temp",     "2",  "-q",  "--ignore-eos"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string line(std::string text) { return text.ends_with('\n') ? text : text + "\n"; }

TEST(Completions, AreSetApartInTextAndListedInJson) {
  const json value = run_json(generate({"--num-completions", "3"}));
  ASSERT_EQ(value["choices"].size(), 3u);
  std::string expected;
  for (size_t i = 0; i < 3; ++i) {
    const json& choice = value["choices"][i];
    EXPECT_EQ(choice["index"], i);
    EXPECT_EQ(choice["sequence"], i);
    EXPECT_EQ(choice["finish_reason"], "length");
    EXPECT_EQ(choice["ids"].size(), 12u);
    expected += "--- completion " + std::to_string(i + 1) + " of 3 ---\n" + line(choice["text"]);
  }
  EXPECT_EQ(value["text"], value["choices"][0]["text"]);
  EXPECT_EQ(value["ids"], value["choices"][0]["ids"]);
  EXPECT_EQ(value["usage"]["completion_tokens"], 36);
  EXPECT_EQ(run(generate({"--n", "3"})).out, expected);
  const json alone = run_json(generate({}));
  EXPECT_EQ(alone["ids"], value["ids"]);
  EXPECT_FALSE(alone.contains("choices"));
}

TEST(Completions, EchoStandsBeforeEach) {
  const std::string out = run(generate({"--num-completions", "2", "--echo"})).out;
  EXPECT_THAT(out, HasSubstr("1 of 2 ---\nThe"));
  EXPECT_THAT(out, HasSubstr("2 of 2 ---\nThe"));
}

TEST(Completions, BestOfShowsTheLikeliest) {
  const json all = run_json(generate({"--num-completions", "5", "--logprobs", "0"}));
  const json best = run_json(generate({"--best-of", "5"}));
  const json* likeliest = &all["choices"][0];
  for (const json& choice : all["choices"])
    if (choice["mean_logprob"] > (*likeliest)["mean_logprob"]) likeliest = &choice;
  ASSERT_EQ(best["choices"].size(), 1u);
  EXPECT_EQ(best["ids"], (*likeliest)["ids"]);
  EXPECT_EQ(best["choices"][0]["sequence"], (*likeliest)["sequence"]);
  EXPECT_EQ(best["usage"]["completion_tokens"], 60);
  EXPECT_EQ(run(generate({"--best-of", "5"})).out, line(best["text"]));
}

TEST(Completions, LogprobsNameTheTokensAndTheLikeliest) {
  const json value = run_json(generate({"--logprobs", "2"}));
  ASSERT_EQ(value["logprobs"].size(), 12u);
  double sum = 0;
  for (size_t i = 0; i < 12; ++i) {
    const json& token = value["logprobs"][i];
    EXPECT_EQ(token["id"], value["ids"][i]);
    EXPECT_TRUE(token["text"].is_string());
    sum += token["logprob"].get<double>();
    ASSERT_EQ(token["top"].size(), 2u);
    EXPECT_GE(token["top"][0]["logprob"], token["logprob"]);
  }
  EXPECT_NEAR(value["mean_logprob"].get<double>(), sum / 12, 1e-9);
}

TEST(Completions, FlagsOutOfRangeAreBadUsage) {
  const auto refusal = [](const Arguments& more) {
    const Result result = run(generate(more));
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(refusal({"--logprobs", "2"}), HasSubstr("--logprobs: they are shown in JSON only"));
  EXPECT_THAT(refusal({"--best-of", "2", "--num-completions", "3"}),
              HasSubstr("--best-of 2: expected at least --num-completions, 3"));
  EXPECT_THAT(refusal({"--num-completions", "0"}), HasSubstr("--num-completions 0: expected"));
  EXPECT_THAT(refusal({"--num-completions", "5000"}), HasSubstr("expected 1 to 1024"));
}

}  // namespace
}  // namespace krait
