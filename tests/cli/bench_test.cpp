#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A run of few tokens on one thread; `more` are further arguments.
Result bench(std::vector<std::string> more) {
  more.insert(more.begin(), {"bench", "-m", test_model(), "-t", "1", "-r", "2"});
  return run(more);
}

std::vector<nlohmann::json> objects(const std::string& text) {
  std::vector<nlohmann::json> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) values.push_back(nlohmann::json::parse(line));
  return values;
}

TEST(Bench, JsonHasOneObjectPerTest) {
  const Result result = bench({"-p", "8,16", "-n", "4", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto tests = objects(result.out);
  ASSERT_EQ(tests.size(), 3u);
  EXPECT_EQ(tests[0]["n_prompt"], 8);
  EXPECT_EQ(tests[1]["n_prompt"], 16);
  EXPECT_EQ(tests[2]["n_gen"], 4);
  EXPECT_EQ(tests[0]["gb_s"], nullptr);
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
    EXPECT_EQ(test["depth"], 0);
    const auto& speed = test["tok_s"];
    EXPECT_EQ(speed["all"].size(), 2u);
    EXPECT_GT(speed["min"].get<double>(), 0);
    EXPECT_LE(speed["min"].get<double>(), speed["median"].get<double>());
    EXPECT_LE(speed["median"].get<double>(), speed["max"].get<double>());
    EXPECT_GT(test["gflop_s"].get<double>(), 0);
    EXPECT_NEAR(test["gflop_share"].get<double>(),
                test["gflop_s"].get<double>() / test["roof_gflop_s"].get<double>(), 1e-9);
    EXPECT_GT(test["weight_bytes_per_token"].get<int64_t>(), 0);
    EXPECT_GT(test["peak_rss_bytes"].get<int64_t>(), 0);
  }
}

TEST(Bench, DepthsBatchesAndPairs) {
  const Result result =
      bench({"-p", "0", "-n", "4", "-d", "0,300", "-b", "1,2", "--pg", "6,3", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> names;
  for (const auto& test : objects(result.out)) names.push_back(test["test"]);
  EXPECT_THAT(names, testing::ElementsAre("tg4", "tg4 x2", "pp6+tg3", "tg4 @ d300", "tg4 x2 @ d300",
                                          "pp6+tg3 @ d300"));
  EXPECT_EQ(objects(result.out)[4]["batch"], 2);
  EXPECT_EQ(objects(result.out)[4]["depth"], 300);
}

TEST(Bench, NamesRoundedActivationsWhereThereAreAny) {
  const auto act = [](const char* dtype) {
    return objects(bench({"-p", "8", "-n", "0", "--act", "bf16", "--dtype", dtype, "--json"}).out)
        .at(0)["act"];
  };
  EXPECT_EQ(act("bf16"), "bf16");
  EXPECT_EQ(act("q8_0"), nullptr);
  EXPECT_THAT(bench({"-p", "8", "-n", "0", "--act", "bf16", "--dtype", "bf16"}).out,
              HasSubstr(" bf16, act bf16 |"));
}

TEST(Bench, TableHasOneRowPerTest) {
  const Result result = bench({"-p", "8", "-n", "4"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("| model"));
  EXPECT_THAT(result.out, AllOf(HasSubstr(" pp8 |"), HasSubstr(" tg4 |"), HasSubstr(" ± "),
                                HasSubstr("read bandwidth"), HasSubstr("peak memory")));
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 6);
}

TEST(Bench, StartupAloneOrBeforeTheTests) {
  const Result alone = bench({"-p", "0", "-n", "0", "--startup", "--json"});
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const auto values = objects(alone.out);
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(values[0]["test"], "startup");
  EXPECT_GT(values[0]["load_ms"].get<double>(), 0);
  EXPECT_GT(values[0]["first_token_ms"].get<double>(), 0);
  EXPECT_GT(values[0]["process_ms"].get<double>(), 0);
  const Result both = bench({"-p", "8", "-n", "0", "--startup"});
  EXPECT_LT(both.out.find(" load |"), both.out.find(" pp8 |"));
}

// Every stage of the model is there, as often as the run needs it.
TEST(Bench, ProfileOfEveryTest) {
  const Result result = bench({"-p", "8", "-n", "4", "--profile", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const auto& test : objects(result.out)) {
    std::map<std::string, nlohmann::json> stages;
    for (const auto& stage : test["stages"]) stages[stage["stage"]] = stage;
    for (const char* name :
         {"embed", "norm", "in_proj", "conv", "x_proj", "dt_proj", "scan", "out_proj", "head"}) {
      ASSERT_TRUE(stages.count(name)) << name;
      EXPECT_GT(stages[name]["ms"].get<double>(), 0) << name;
    }
    const int64_t steps = test["n_gen"] == 4 ? 4 : 1;
    EXPECT_EQ(stages["head"]["calls"], steps);
    EXPECT_EQ(stages["in_proj"]["calls"].get<int64_t>() % steps, 0);
    double bytes = 0;
    for (const auto& [name, stage] : stages) bytes += stage["weight_bytes"].get<double>();
    EXPECT_EQ(bytes, static_cast<double>(steps) * test["weight_bytes_per_token"].get<double>());
  }
  const Result table = bench({"-p", "8", "-n", "4", "--profile"});
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("| pp8 "), HasSubstr("| in_proj "), HasSubstr("us/token")));
  EXPECT_THAT(bench({"-p", "8", "-n", "0", "--json"}).out, Not(HasSubstr("stages")));
}

TEST(Bench, OtherForms) {
  const Result array = bench({"-p", "8", "-n", "4", "-o", "json"});
  ASSERT_EQ(array.exit_code, 0) << array.err;
  EXPECT_EQ(nlohmann::json::parse(array.out).size(), 2u);
  const Result csv = bench({"-p", "8", "-n", "4", "-o", "csv"});
  EXPECT_THAT(csv.out, StartsWith("model,dtype,"));
  EXPECT_EQ(std::count(csv.out.begin(), csv.out.end(), '\n'), 3);
}

TEST(Bench, Mistakes) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"-b", "0"}, "--batch 0: expected whole numbers from 1 to 1024"},
      {{"-d", "-1"}, "--n-depth -1: expected whole numbers from 0"},
      {{"--pg", "5"}, "--pg 5: expected two numbers"},
      {{"--pg", "5,0"}, "--pg 0: expected whole numbers from 1"},
      {{"-o", "xml"}, "--output xml: expected one of md, csv, json, jsonl"},
      {{"-o", "csv", "--json"}, "--json is -o jsonl"}};
  for (const auto& [arguments, words] : cases) {
    const Result result = bench(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(words));
  }
}

}  // namespace
}  // namespace krait
