// krait batch as a user runs it: files in and out, killed and started again.
#include <algorithm>
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class BatchTest : public testing::Test {
 protected:
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"batch", "-m",      test_model(), "-i", input,     "-o",
                                    results, "--temp",  "2",          "-n", "12",      "--top-k",
                                    "0",     "--top-p", "1",          "-q", "--min-p", "0"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // Each result by the number of its line.
  std::map<int, json> read_results() const {
    std::map<int, json> by_line;
    for (const std::string& line : lines_of(read_file(results))) {
      const json value = json::parse(line);
      const int number = std::stoi(value["id"].get<std::string>().substr(6));
      EXPECT_TRUE(by_line.emplace(number, value).second) << "twice: " << number;
    }
    return by_line;
  }
  static std::string text_of(const json& result) {
    return result["response"]["body"]["choices"][0]["text"];
  }

  test::TempFolder folder;
  std::string input = folder.path("prompts"), results = folder.path("results.jsonl");
};

TEST_F(BatchTest, PlainLinesGetTheTextsThatGenerateGives) {
  write_file(input, "Once upon\n\nthe cat\nOnce upon\n");
  const Result batch = run(command());
  ASSERT_EQ(batch.exit_code, 0) << batch.err;
  EXPECT_EQ(batch.out + batch.err, "");
  const auto by_line = read_results();
  ASSERT_EQ(by_line.size(), 3u);
  for (const auto& [line, prompt] :
       {std::pair(1, "Once upon"), std::pair(3, "the cat"), std::pair(4, "Once upon")}) {
    const json& body = by_line.at(line)["response"]["body"];
    const json alone = run_json({"generate", "-m", test_model(), "-p", prompt, "-n", "12", "--temp",
                                 "2", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-s",
                                 std::to_string(body["seed"].get<int>())});
    EXPECT_EQ(text_of(by_line.at(line)), alone["text"]);
    EXPECT_EQ(body["usage"]["prompt_tokens"], alone["usage"]["prompt_tokens"]);
  }
  EXPECT_NE(text_of(by_line.at(1)), text_of(by_line.at(4)));  // another seed
}

TEST_F(BatchTest, RequestsAreAnsweredInOpenAisForm) {
  write_file(input, R"({"custom_id": "a", "method": "POST", "url": "/v1/completions", "body":)"
                    R"({"prompt": "Once", "max_tokens": 4, "n": 2, "best_of": 3, "logprobs": 2}})"
                    "\n"
                    R"({"prompt": "Once", "seed": 5, "echo": true, "max_tokens": 3})"
                    "\n");
  ASSERT_EQ(run(command()).exit_code, 0);
  const auto by_line = read_results();
  const json& first = by_line.at(1);
  EXPECT_EQ(first["custom_id"], "a");
  EXPECT_EQ(first["error"], nullptr);
  EXPECT_EQ(first["response"]["status_code"], 200);
  const json& body = first["response"]["body"];
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["usage"]["completion_tokens"], 12);
  ASSERT_EQ(body["choices"].size(), 2u);
  EXPECT_EQ(body["choices"][1]["index"], 1);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][0]["logprobs"]["token_logprobs"].size(), 4u);
  EXPECT_EQ(by_line.at(2)["response"]["body"]["seed"], 5);
  EXPECT_THAT(text_of(by_line.at(2)), testing::StartsWith("Once"));
}

TEST_F(BatchTest, ABadLineGetsAnErrorAndTheOthersGoOn) {
  write_file(input, R"({"prompt": "a", "max_tokens": 2})"
                    "\n"
                    R"({"custom_id": "x", "prompt": 5})"
                    "\n{\n"
                    R"({"prompt": [999999]})"
                    "\n"
                    R"({"prompt": "b", "max_tokens": 2})"
                    "\n");
  const Result result = run(command({"--json"}));
  EXPECT_EQ(result.exit_code, 3);
  const json summary = json::parse(result.out);
  EXPECT_EQ(summary["finished"], 5);
  EXPECT_EQ(summary["failed"], 3);
  const auto by_line = read_results();
  ASSERT_EQ(by_line.size(), 5u);
  EXPECT_EQ(by_line.at(2)["custom_id"], "x");
  EXPECT_EQ(by_line.at(2)["response"], nullptr);
  EXPECT_THAT(by_line.at(2)["error"]["message"].get<std::string>(), HasSubstr("prompt is 5"));
  EXPECT_THAT(by_line.at(4)["error"]["message"].get<std::string>(), HasSubstr("999999"));
  EXPECT_EQ(by_line.at(5)["error"], nullptr);
  EXPECT_EQ(run(command()).exit_code, 3);  // nothing is left to do, and it still did not all work
}

TEST_F(BatchTest, ResultsDoNotDependOnSlotsOrThreads) {
  std::string prompts;
  for (int i = 0; i < 30; ++i)
    prompts += std::string(1 + i * 7 % 40, static_cast<char>('a' + i % 26)) + " cat\n";
  write_file(input, prompts);
  for (const std::vector<std::string>& types :
       {std::vector<std::string>{}, {"--dtype", "bf16", "--act", "bf16"}}) {
    std::map<int, json> first;
    for (const auto& [slots, threads] : {std::pair("1", "1"), std::pair("16", "2")}) {
      std::filesystem::remove(results);
      std::vector<std::string> more = {"--slots", slots, "-t", threads};
      more.insert(more.end(), types.begin(), types.end());
      ASSERT_EQ(run(command(more)).exit_code, 0);
      if (first.empty()) first = read_results();
      EXPECT_EQ(read_results(), first);
    }
  }
}

TEST_F(BatchTest, KilledAtAnyMomentItGoesOnWhereItStopped) {
  std::string prompts;
  for (int i = 0; i < 300; ++i) prompts += "the " + std::to_string(i * i) + " cats\n";
  write_file(input, prompts);
  ASSERT_EQ(run(command({"-n", "30"})).exit_code, 0);
  const auto whole = read_results();
  std::filesystem::remove(results);
  std::mt19937 random(3);
  for (int kill = 0; kill < 12; ++kill) {
    Process process(command({"-n", "30"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 120));
    process.send(SIGKILL);
    process.finish();
  }
  const Result last = run(command({"-n", "30"}));
  EXPECT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(read_results(), whole);
}

TEST_F(BatchTest, ASecondProcessIsRefusedUntilTheFirstIsGone) {
  std::string prompts;
  for (int i = 0; i < 1000; ++i) prompts += "cats " + std::to_string(i) + "\n";
  write_file(input, prompts);
  write_file(results, "");
  Process first(command({"-n", "200", "--ignore-eos"}));
  while (std::filesystem::file_size(results) == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const Result second = run(command());
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(second.err, HasSubstr(results + " is being written by another process"));
  first.send(SIGKILL);
  first.finish();
  const Result third = run(command());  // no lock outlives its process
  EXPECT_EQ(third.exit_code, 0) << third.err;
  EXPECT_EQ(read_results().size(), 1000u);
}

TEST_F(BatchTest, CtrlCKeepsWhatIsFinished) {
  std::string prompts;
  for (int i = 0; i < 200; ++i) prompts += "cats\n";
  write_file(input, prompts);
  {
    Process process(command({"-n", "2000", "--ignore-eos"}));
    process.wait_for_handler();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    process.send(SIGINT);
    EXPECT_EQ(process.finish().exit_code, 130);
  }
  for (const std::string& line : lines_of(read_file(results))) EXPECT_TRUE(json::accept(line));
}

TEST_F(BatchTest, MistakesAreNamed) {
  write_file(input, "a\n");
  const auto error = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"batch", "-m", test_model()});
    const Result result = run(arguments);
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(error({"-o", results}), HasSubstr("--input"));
  EXPECT_THAT(error({"-i", input}), HasSubstr("--output"));
  EXPECT_THAT(error({"-i", folder.path("none"), "-o", results}), HasSubstr("cannot open"));
  EXPECT_THAT(error({"-i", input, "-o", folder.path("no/results")}), HasSubstr("cannot open"));
  EXPECT_THAT(error({"-i", input, "-o", input}), HasSubstr("line 1 is no result of krait batch"));
  EXPECT_THAT(error({"-i", input, "-o", results, "--slots", "0"}), HasSubstr("--slots"));
  EXPECT_EQ(read_file(input), "a\n");
}

TEST_F(BatchTest, AnotherInputForTheSameResultsIsRefused) {
  write_file(input, "a\nb\n");
  ASSERT_EQ(run(command()).exit_code, 0);
  write_file(input, "a\nc\n");
  const Result result = run(command());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("line 2 answers another text"));
}

TEST_F(BatchTest, AnotherTypeOfWeightsOrActivationsForTheSameResultsIsRefused) {
  write_file(input, "a\nb\n");
  ASSERT_EQ(run(command({"--dtype", "bf16"})).exit_code, 0);
  for (const std::vector<std::string>& other :
       {std::vector<std::string>{}, {"--dtype", "q8_0"}, {"--dtype", "bf16", "--act", "bf16"}}) {
    const Result result = run(command(other));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("or another model, --dtype or --act computed it"));
  }
  EXPECT_EQ(run(command({"--dtype", "bf16", "-t", "1", "--slots", "2"})).exit_code, 0);
}

TEST_F(BatchTest, PromptsMayComeThroughAPipe) {
  write_file(input, "");
  auto arguments = command();
  std::replace(arguments.begin(), arguments.end(), input, std::string("-"));
  EXPECT_EQ(run(arguments, "one\ntwo\n").exit_code, 0);
  EXPECT_EQ(read_results().size(), 2u);
}

}  // namespace
}  // namespace krait
