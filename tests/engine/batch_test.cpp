// A batch through the library: every line has one result, the same whatever the number of slots and
// wherever it was stopped.
#include "krait/batch.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kRequests = R"({"custom_id": "plain", "prompt": "Once", "max_tokens": 5}
{"custom_id": "best", "prompt": "Once", "max_tokens": 4, "n": 2, "best_of": 3, "logprobs": 2}
{"custom_id": "echo", "prompt": "Twice", "max_tokens": 3, "echo": true, "seed": 9}

{"custom_id": "ids", "prompt": [5, 6, 7], "max_tokens": 3}
{"custom_id": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
{"custom_id": "chat scores", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3, "logprobs": true, "top_logprobs": 2}
{"custom_id": "far", "prompt": [999999]}
{"custom_id": "odd", "prompt": 5}
{
)";

class BatchEngineTest : public testing::Test {
 protected:
  BatchEngineTest() {
    OpenOptions open;
    open.model = "tales";
    open.backend = {"cpu", "auto", 2};
    engine_ = Engine::open(open);
    format_.emplace(*engine_, "");
    batch_.input = folder_.write("in.jsonl", kRequests);
    batch_.results = folder_.path("out.jsonl");
    batch_.chat = &*format_;
  }

  // By the number of the line; fails the test where a line has two.
  std::map<int, json> results() const {
    std::map<int, json> by_line;
    std::ifstream file(batch_.results);
    for (std::string line; std::getline(file, line);) {
      const json value = json::parse(line);
      const int number = std::stoi(value["id"].get<std::string>().substr(6));
      EXPECT_TRUE(by_line.emplace(number, value).second) << "twice: " << number;
    }
    return by_line;
  }
  std::map<int, json> run_anew(int32_t slots) {
    std::filesystem::remove(batch_.results);
    batch_.slots = slots;
    run_batch(*engine_, batch_, {});
    return results();
  }

  test::TempFolder folder_;
  std::unique_ptr<Engine> engine_;
  std::optional<ChatFormat> format_;
  BatchOptions batch_;
};

TEST_F(BatchEngineTest, EveryLineHasAResultWhateverTheSlots) {
  const auto alone = run_anew(1);
  ASSERT_EQ(alone.size(), 9u);
  EXPECT_EQ(run_anew(8), alone);
  const auto body = [&](int line) { return alone.at(line)["response"]["body"]; };
  EXPECT_EQ(body(1)["usage"]["completion_tokens"], 5);
  ASSERT_EQ(body(2)["choices"].size(), 2u);
  EXPECT_EQ(body(2)["choices"][0]["logprobs"]["top_logprobs"][0].size(), 2u);
  EXPECT_THAT(body(3)["choices"][0]["text"].get<std::string>(), testing::StartsWith("Twice"));
  EXPECT_EQ(body(5)["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(body(6)["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(body(7)["choices"][0]["logprobs"]["content"].size(),
            body(7)["usage"]["completion_tokens"].get<size_t>());
  for (const auto& [line, what] : {std::pair(8, "999999"), {9, "prompt is 5"}, {10, ""}}) {
    EXPECT_EQ(alone.at(line)["response"], nullptr);
    EXPECT_THAT(alone.at(line)["error"]["message"].get<std::string>(), HasSubstr(what));
  }
}

TEST_F(BatchEngineTest, StoppedAnywhereAndResumedItGivesTheSame) {
  const auto whole = run_anew(4);
  for (int64_t steps = 0; steps < 12; steps += 3) {
    std::filesystem::remove(batch_.results);
    std::atomic<bool> interrupt = steps == 0;
    batch_.interrupt = &interrupt;
    int64_t seen = 0;
    const BatchProgress first = run_batch(*engine_, batch_, [&](const BatchProgress& progress) {
      EXPECT_EQ(progress.total_bytes, std::ssize(std::string(kRequests)));
      interrupt = ++seen == steps;
    });
    interrupt = false;
    const BatchProgress second = run_batch(*engine_, batch_, {});
    EXPECT_EQ(second.resumed, first.finished);
    EXPECT_EQ(second.finished, 9);
    EXPECT_EQ(second.failed, 3);
    EXPECT_EQ(results(), whole);
    batch_.interrupt = nullptr;
  }
}

TEST_F(BatchEngineTest, WithoutATemplateConversationsAreRefused) {
  batch_.chat = nullptr;
  const auto found = run_anew(4);
  EXPECT_THAT(found.at(6)["error"]["message"].get<std::string>(), HasSubstr("chat template"));
}

TEST_F(BatchEngineTest, PlainLinesArePrompts) {
  batch_.input = folder_.write("in.txt", "Once upon\n\nTwice\n");
  batch_.defaults.max_tokens = 2;
  const auto found = run_anew(4);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found.at(3)["response"]["body"]["usage"]["completion_tokens"], 2);
  EXPECT_EQ(found.at(3)["custom_id"], nullptr);
}

TEST_F(BatchEngineTest, AnInputThatIsNotThereIsBadInput) {
  batch_.input = folder_.path("none");
  EXPECT_THAT(test::message_of<InputError>([&] { run_batch(*engine_, batch_, {}); }),
              HasSubstr("none"));
}

}  // namespace
}  // namespace krait
