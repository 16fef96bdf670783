#include "tests/faults/world.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/cli/terminal.h"
#include "tests/support/scoped_variable.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kPrompts = "the cat\na dog\nthe old king\nOnce\n";
constexpr int kKilled = 128 + SIGKILL;

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

struct Log {
  int64_t hits = 0;
  std::optional<int64_t> calls;
};

Log read_log(const std::string& path) {
  Log log;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (line == "hit")
      ++log.hits;
    else
      log.calls = std::stoll(line);
  return log;
}

}  // namespace

World::World(std::string command) : command_(std::move(command)) {
  const std::string& model = model_.path();
  const std::string prompt = folder_.write("prompt", "the old king"),
                    prompts = folder_.write("prompts", kPrompts), state = file("text.state");
  weights_before_ = read_file(model_.file(kModelFile));
  before_ = "what was there before";
  const std::string name = command_.substr(0, command_.find_first_of(" ,"));
  arguments_ = {name, "-m", model, "-t", "2"};
  const auto add = [&](const std::vector<std::string>& more) {
    arguments_.insert(arguments_.end(), more.begin(), more.end());
  };
  if (name == "generate") add({"-f", prompt, "-n", "6", "-s", "1", "--ignore-eos"});
  if (name == "chat") add({"-n", "4", "-s", "1", "--ignore-eos"});
  if (command_ == "generate --save-state" || command_ == "chat") {
    add({"--save-state", state});
    outputs_ = {"text.state"};
  }
  if (command_ == "generate --load-state") {
    const Result saved = krait::run(
        {"generate", "-m", model, "-p", "a", "-n", "2", "--save-state", file("old.state")});
    EXPECT_EQ(saved.exit_code, 0) << saved.err;
    add({"--load-state", file("old.state")});
  }
  if (command_ == "chat") {
    input_ = "hello\n/save " + file("second.state") + "\n";
    outputs_.push_back("second.state");
  }
  if (command_ == "chat at a terminal") {
    add({"--color", "off"});
    outputs_ = {"krait/history"};
    before_ = "a line of before\n";
  }
  if (name == "batch") {
    add({"-i", prompts, "-o", file("results.jsonl"), "-n", "5", "--slots", "2"});
    outputs_ = {"results.jsonl"};
    before_ = "";
  }
  if (command_ == "batch, continued") {  // after a line and a half
    before_ = *run_once(nullptr).files["results.jsonl"];
    before_.resize(before_.find('\n') + 40);
  }
  if (name == "score") {
    add({"-f", prompt, "--logits", file("logits.npy")});
    outputs_ = {"logits.npy"};
  }
  if (name == "tokenize") arguments_ = {name, "-m", model, "-f", prompt};
  if (name == "quantize") {
    arguments_ = {name, model, file("out.gguf"), "--type", "q8_0", "-t", "2"};
    outputs_ = {"out.gguf"};
  }
  if (command_ == "bench") add({"-p", "0", "-n", "2", "-r", "1"});
  if (command_ == "bench --startup") add({"-p", "0", "-n", "0", "--startup"});
  reference_ = run_once(nullptr);
  EXPECT_EQ(reference_.result.exit_code, 0) << reference_.result.err;
}

std::vector<std::string> World::temporary_files() const {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path()))
    if (entry.path().string().find(".part") != std::string::npos) found.push_back(entry.path());
  return found;
}

void World::reset() {
  write_file(model_.file(kModelFile), weights_before_);
  for (const std::string& name : outputs_) folder_.write(name, before_);
}

Result World::run_at_terminal() {
  Terminal terminal(arguments_);
  terminal.sees_prompt();
  terminal.type("hello\r");
  terminal.sees_prompt();
  terminal.type("\4");
  Result result;
  result.exit_code = terminal.finish();
  result.err = terminal.shown();
  return result;
}

Outcome World::run_once(const Fault* fault) {
  reset();
  const test::ScopedVariable history("XDG_STATE_HOME", folder_.path());
  std::optional<std::string> library, specification;
  const std::string log = file("log");
  fs::remove(log);
  if (fault != nullptr) {
    library = KRAIT_TEST_FAULTS;
    specification = fault->call + "," + fault->path + "," + std::to_string(fault->nth) + "," +
                    std::to_string(fault->times) + "," + fault->action;
  }
  const test::ScopedVariable preload("LD_PRELOAD", library), what("FAULT", specification),
      where("FAULT_FILE", model_.file(kModelFile)), hits("FAULT_LOG", log);
  Outcome outcome;
  outcome.result =
      command_ == "chat at a terminal" ? run_at_terminal() : krait::run(arguments_, input_);
  const Log logged = read_log(log);
  outcome.hits = logged.hits;
  outcome.calls = logged.calls;
  for (const std::string& name : outputs_)
    outcome.files[name] =
        fs::exists(file(name)) ? std::optional(read_file(file(name))) : std::nullopt;
  return outcome;
}

Outcome World::run(const Fault& fault) { return run_once(&fault); }

void World::check_batch(const Outcome& outcome) {
  const std::string path = file("results.jsonl");
  const auto expected = sorted_lines(*reference_.files.at("results.jsonl"));
  const std::string found = *outcome.files.at("results.jsonl");
  for (const std::string& line : sorted_lines(found.substr(0, found.rfind('\n') + 1)))
    EXPECT_THAT(expected, testing::Contains(line));
  for (const std::string& line : sorted_lines(before_.substr(0, before_.rfind('\n') + 1)))
    EXPECT_THAT(sorted_lines(found), testing::Contains(line)) << "lost";
  write_file(model_.file(kModelFile), weights_before_);
  const Result again = krait::run(arguments_);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(sorted_lines(read_file(path)), expected);
}

bool World::loads(const std::string& state) const {
  return krait::run({"chat", "-m", model_.path(), "--load-state", file(state)}).exit_code == 0;
}

void World::check(const Outcome& outcome, const Fault& fault) {
  for (const auto& [name, bytes] : outcome.files) {
    if (name == "results.jsonl") continue;
    const auto& whole = reference_.files.at(name);
    const bool is_new = bytes == whole, is_old = bytes == before_;
    // The history grows line by line.
    const bool grows = command_ == "chat at a terminal" && bytes && bytes->starts_with(before_);
    // Where nobody listens, a text ends early and its state is kept.
    const bool is_early = fault.action == "shut" && name.ends_with(".state") && loads(name);
    EXPECT_TRUE(is_new || is_old || grows || is_early) << name << " is torn";
  }
  const bool is_shown = fault.path != "stdout" || fault.call != "start";
  if (outcome.result.exit_code == 0 && is_shown && !command_.starts_with("bench")) {
    EXPECT_EQ(outcome.result.out, reference_.result.out);
  }
  const bool is_killed = outcome.result.exit_code == kKilled;
  for (const std::string& path : temporary_files()) {
    EXPECT_TRUE(is_killed) << path << " stays behind";
    fs::remove(path);
  }
  if (outcome.files.contains("results.jsonl")) check_batch(outcome);
}

}  // namespace krait
