// Signals at any moment of any command: what was written so far stays, in whole lines; files are
// whole or not there; nothing hangs.
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
using Arguments = std::vector<std::string>;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

class Signals : public testing::Test {
 protected:
  // The command, and what it reads from standard input.
  struct Case {
    Arguments arguments;
    std::string input = {};
    bool streams = true;     // writes something before its end
    bool ends_soon = false;  // by itself, maybe before the signal
    int times = 10;
  };

  // Sends a signal at many moments, now and then a second one after it.
  void sweep(const Case& command, const std::function<void(const Result&)>& check) {
    for (int i = 0; i < command.times; ++i) {
      const int signal = kSignals[i % 3];
      const bool twice = i % 4 == 3;
      Process process(with_model(command.arguments), command.input);
      process.wait_for_handler();
      if (i == 0 && command.streams)
        process.wait_for_output(1);
      else if (i > 1)
        std::this_thread::sleep_for(std::chrono::microseconds(random_() % 60000));
      process.send(signal);
      if (twice) {
        std::this_thread::sleep_for(std::chrono::microseconds(random_() % 1000));
        process.send(SIGINT);
      }
      const Result result = process.finish();
      if (!(command.ends_soon && result.exit_code == 0)) {
        EXPECT_EQ(result.exit_code, 130) << "signal " << signal << ": " << result.err;
      }
      EXPECT_EQ(result.err.find("error: "), std::string::npos) << result.err;
      if (twice) {
        remove_parts();
      } else {
        EXPECT_TRUE(result.out.empty() || result.out.ends_with('\n')) << result.out;
        EXPECT_EQ(remove_parts(), 0);
        check(result);
      }
    }
  }

  static Arguments with_model(Arguments arguments) {
    if (arguments[0] == "quantize") return arguments;
    arguments.insert(arguments.begin() + 1, {"-m", test_model()});
    return arguments;
  }

  // What a process that ended at once has left of files that it was writing.
  int remove_parts() {
    std::vector<std::filesystem::path> parts;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      if (entry.path().string().find(".part") != std::string::npos) parts.push_back(entry.path());
    for (const auto& part : parts) std::filesystem::remove(part);
    return static_cast<int>(parts.size());
  }

  static void expect_json_lines(const std::string& text) {
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) EXPECT_TRUE(json::accept(line)) << line;
  }

  void expect_state(const std::string& path) {
    if (!std::filesystem::exists(path)) return;
    // By chat, which also takes one that was saved before anything was read.
    const Result loaded = run({"chat", "-m", test_model(), "--load-state", path});
    EXPECT_EQ(loaded.exit_code, 0) << loaded.err;
    std::filesystem::remove(path);
  }

  test::TempFolder folder_;
  std::mt19937 random_{11};
};

TEST_F(Signals, Generate) {
  const std::string state = folder_.path("state");
  sweep({{"generate", "-p", "The", "-n", "-1", "--ignore-eos", "--save-state", state}},
        [&](const Result&) { expect_state(state); });
}

TEST_F(Signals, GenerateJson) {
  sweep({.arguments = {"generate", "-p", "The", "-n", "-1", "--ignore-eos", "--json"},
         .streams = false},
        [](const Result& result) { expect_json_lines(result.out); });
}

TEST_F(Signals, Chat) {
  const std::string state = folder_.path("state");
  std::string talk;
  for (int i = 0; i < 2000; ++i) talk += "Go on\n";
  sweep({{"chat", "-n", "20", "--json", "--save-state", state}, talk}, [&](const Result& result) {
    expect_json_lines(result.out);
    expect_state(state);
  });
}

TEST_F(Signals, Batch) {
  std::string prompts;
  for (int i = 0; i < 500; ++i) prompts += std::string(1 + i % 50, 'a') + "\n";
  write_file(folder_.path("prompts"), prompts);
  const std::string results = folder_.path("results");
  write_file(results, "");
  std::string before;
  sweep({.arguments = {"batch", "-i", folder_.path("prompts"), "-o", results, "-n", "200",
                       "--ignore-eos"},
         .streams = false},
        [&](const Result&) {
          const std::string now = read_file(results);
          EXPECT_TRUE(now.starts_with(before));  // what was written stays
          EXPECT_TRUE(now.empty() || now.ends_with('\n'));
          expect_json_lines(now);
          before = now;
        });
}

TEST_F(Signals, Score) {
  write_file(folder_.path("text"), std::string(200000, 'a'));
  const std::string logits = folder_.path("logits.npy");
  sweep({.arguments = {"score", "-f", folder_.path("text"), "--logits", logits}, .streams = false},
        [&](const Result& result) {
          EXPECT_EQ(result.out, "");
          EXPECT_FALSE(std::filesystem::exists(logits));
        });
}

TEST_F(Signals, Quantize) {
  const std::string out = folder_.path("out.gguf");
  const Arguments arguments = {"quantize", test_model(), out, "--type", "q6_k"};
  ASSERT_EQ(run(arguments).exit_code, 0);
  const std::string whole = read_file(out);
  std::filesystem::remove(out);
  sweep({.arguments = arguments, .streams = false, .ends_soon = true}, [&](const Result& result) {
    const bool there = std::filesystem::exists(out);
    EXPECT_TRUE(there || result.exit_code != 0);
    EXPECT_TRUE(!there || read_file(out) == whole);
    std::filesystem::remove(out);
  });
}

// It measures the machine in between, and that takes its time: fewer moments.
TEST_F(Signals, Bench) {
  sweep({.arguments = {"bench", "-p", "64", "-n", "4000", "-r", "1000", "-o", "jsonl"},
         .streams = false,
         .times = 3},
        [](const Result& result) { expect_json_lines(result.out); });
}

// Waiting for what does not come.
TEST_F(Signals, InputThatNeverComes) {
  for (const Arguments& arguments : {Arguments{"batch", "-i", "-", "-o", folder_.path("results")},
                                     {"chat"},
                                     {"generate", "-f", "-"},
                                     {"score", "--stream"},
                                     {"tokenize", "-f", "-"}}) {
    for (int i = 0; i < 3; ++i) {
      Process process(with_model(arguments), "", "/dev/ptmx");  // nobody types there
      process.wait_for_handler();
      std::this_thread::sleep_for(std::chrono::milliseconds(i * 40));
      process.send(kSignals[i]);
      EXPECT_EQ(process.finish().exit_code, 130) << arguments[0];
    }
  }
}

}  // namespace
}  // namespace krait
