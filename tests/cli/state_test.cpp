// Saving where a text stands and going on from there, in another process.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Arguments = std::vector<std::string>;
using nlohmann::json;

Arguments joined(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Sampling on, with a memory.
Arguments generate(const std::string& model, const Arguments& more) {
  return joined({"generate", "-m", model, "--temp", "1.5", "--top-k", "0", "--repeat-penalty",
                 "1.3", "--frequency-penalty", "0.2", "--repeat-last-n", "30", "--ignore-eos"},
                more);
}

std::string golden(const std::string& name) {
  return std::string(KRAIT_TEST_GOLDEN) + "/models/" + name;
}

class State : public testing::Test {
 protected:
  test::TempFolder folder_;
  std::string path_ = folder_.path("a.state");
};

struct Case {
  std::string model;
  Arguments prompt;
};

TEST_F(State, TwoHalvesAreTheWholeByteForByte) {
  const Case cases[] = {{"tales", {"-p", "Once upon a time"}},
                        {test_model(), {"-p", "The old king"}},
                        {golden("plain"), {"--ids", "1,2,3,4"}},
                        {golden("mamba2"), {"--ids", "1,2,3,4"}},
                        {golden("falcon"), {"--ids", "1,2,3,4"}}};
  for (const auto& [model, prompt] : cases) {
    const Arguments start = joined(prompt, {"-s", "9"});
    const json whole = run_json(generate(model, joined(start, {"-n", "200"})));
    const json first =
        run_json(generate(model, joined(start, {"-n", "100", "--save-state", path_, "-t", "1"})));
    const json second = run_json(
        generate(model, {"-n", "100", "--load-state", path_, "--chunk", "3"}), "not a prompt");
    json ids = first["ids"];
    ids.insert(ids.end(), second["ids"].begin(), second["ids"].end());
    EXPECT_EQ(ids, whole["ids"]) << model;
    EXPECT_EQ(first["text"].get<std::string>() + second["text"].get<std::string>(), whole["text"]);
    EXPECT_EQ(second["seed"], 9);
    EXPECT_EQ(second["usage"]["prompt_tokens"], 0);
    EXPECT_EQ(second["usage"]["cached_tokens"], whole["usage"]["prompt_tokens"].get<int>() + 100);
    EXPECT_EQ(first["usage"]["cached_tokens"], 0);
  }
}

TEST_F(State, APromptGoesOnFromTheLoadedText) {
  const Arguments tail = {"-n", "20", "-s", "3"};
  run_json(generate(test_model(), {"--ids", "70,71", "-n", "0", "--save-state", path_}));
  const json split =
      run_json(generate(test_model(), joined({"--load-state", path_, "--ids", "72,73,74"}, tail)));
  const json whole = run_json(generate(test_model(), joined({"--ids", "70,71,72,73,74"}, tail)));
  EXPECT_EQ(split["ids"], whole["ids"]);
  EXPECT_EQ(split["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(split["usage"]["cached_tokens"], 2);
  const json empty =
      run_json(generate(test_model(), joined({"--load-state", path_, "-p", ""}, tail)));
  EXPECT_EQ(empty["usage"]["prompt_tokens"], 0);
}

TEST_F(State, AStateMayBeSavedOntoTheOneThatWasLoaded) {
  const json whole = run_json(generate(test_model(), {"-p", "The", "-n", "30", "-s", "2"}));
  run_json(generate(test_model(), {"-p", "The", "-n", "10", "-s", "2", "--save-state", path_}));
  json last;
  for (int i = 0; i < 2; ++i)
    last = run_json(
        generate(test_model(), {"-n", "10", "--load-state", path_, "--save-state", path_}));
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(last["ids"][i], whole["ids"][20 + i]);
}

TEST_F(State, CtrlCSavesWhatWasWritten) {
  Process process(
      generate(test_model(), {"-p", "The", "-n", "-1", "-s", "5", "--save-state", path_}));
  ASSERT_TRUE(process.wait_for_output(200));
  process.send(SIGINT);
  const Result result = process.finish();
  EXPECT_EQ(result.exit_code, 130);
  const json rest = run_json(generate(test_model(), {"-n", "20", "--load-state", path_}));
  const size_t cached = rest["usage"]["cached_tokens"];
  const size_t written =
      cached - run_json({"tokenize", "-m", test_model(), "-p", "The"})["ids"].size();
  const json whole = run_json(
      generate(test_model(), {"-p", "The", "-n", std::to_string(written + 20), "-s", "5"}));
  const std::string text = whole["text"], end = rest["text"];
  EXPECT_TRUE(text.ends_with(end));
  std::string shown = result.out;
  if (!text.starts_with(shown)) shown.pop_back();  // the newline that ends the output
  EXPECT_EQ(shown + end, text);
}

TEST_F(State, TheBestOfSeveralIsTheOneSaved) {
  const json best = run_json(generate(
      test_model(), {"-p", "The", "-n", "10", "-s", "5", "--best-of", "4", "--save-state", path_}));
  const json rest = run_json(generate(test_model(), {"-n", "10", "--load-state", path_}));
  const json again = run_json(
      generate(test_model(), {"-p", "The", "-n", "20", "-s", "5", "--num-completions", "4"}));
  const size_t sequence = best["choices"][0]["sequence"];
  json ids = best["ids"];
  ids.insert(ids.end(), rest["ids"].begin(), rest["ids"].end());
  EXPECT_EQ(ids, again["choices"][sequence]["ids"]);
}

TEST_F(State, Bf16TakesLessAndVerboseSaysWhatItCosts) {
  const Arguments arguments =
      generate(test_model(), {"-p", "The", "-n", "20", "-s", "1", "--save-state", path_, "-v"});
  run(arguments);
  const auto exact = std::filesystem::file_size(path_);
  const Result result = run(joined(arguments, {"--state-dtype", "bf16"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_LT(std::filesystem::file_size(path_), 0.7 * static_cast<double>(exact));
  EXPECT_THAT(result.err, HasSubstr("info: bf16 changes the next logits by at most "));
  EXPECT_EQ(run_json(generate(test_model(), {"-n", "5", "--load-state", path_}))["ids"].size(), 5u);
}

TEST_F(State, AnotherTypeOfWeightsIsAWarning) {
  run_json(generate(test_model(), {"-p", "The", "-n", "5", "--save-state", path_}));
  const Result result =
      run(generate(test_model(), {"-n", "5", "--load-state", path_, "--dtype", "q8_0"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("with weights in f32, these are in q8_0"));
}

TEST_F(State, WhatIsNoStateOfThisModelIsBadInput) {
  run_json(generate(test_model(), {"-p", "The", "-n", "5", "--save-state", path_}));
  const Result other = run(generate("tales", {"--load-state", path_}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_EQ(other.out, "");
  EXPECT_THAT(other.err, StartsWith("error: " + path_ + ": the model: found \"" + test_model()));
  const std::string bytes = read_file(path_);
  write_file(path_, bytes.substr(0, bytes.size() - 1));
  const Result cut = run(generate(test_model(), {"--load-state", path_}));
  EXPECT_EQ(cut.exit_code, 2);
  EXPECT_THAT(cut.err, HasSubstr("damaged or was cut short"));
  EXPECT_EQ(run(generate(test_model(), {"--load-state", path_ + ".no"})).exit_code, 2);
}

TEST_F(State, MistakesAreNoticedBeforeAnythingIsWritten) {
  const auto refusal = [&](const Arguments& more) {
    const Result result = run(generate(test_model(), joined({"-p", "The"}, more)));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_THAT(refusal({"--save-state", path_ + "/no/such/folder"}), HasSubstr("cannot create"));
  EXPECT_THAT(refusal({"--save-state", "/dev/null"}), HasSubstr("not a regular file"));
  EXPECT_THAT(refusal({"--save-state", ""}), HasSubstr("--save-state '': expected the name"));
  EXPECT_THAT(refusal({"--save-state", path_, "--num-completions", "2"}),
              HasSubstr("a file holds one sequence"));
  EXPECT_THAT(refusal({"--state-dtype", "bf16"}), HasSubstr("--state-dtype"));
  EXPECT_THAT(refusal({"--save-state", path_, "--state-dtype", "f16"}),
              HasSubstr("expected one of f32, bf16"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace krait
