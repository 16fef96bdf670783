// The commands: each adds its flags to the program and says how it runs.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "krait/engine.h"
#include "src/cli/console.h"
#include "src/cli/prompt.h"

namespace CLI {
class App;
}  // namespace CLI

namespace krait::cli {

constexpr int kExitSuccess = 0;
constexpr int kExitFailure = 1;
constexpr int kExitBadInput = 2;
constexpr int kExitSomeFailed = 3;  // of a batch's lines
constexpr int kExitInterrupted = 130;

struct Command {
  CLI::App* app;
  std::function<int(Console&)> run;  // the exit code, after the flags have been read
};

// The command of `app`, whose flags have been read into `flags` by the time it runs.
template <class Flags>
Command command(CLI::App* app, std::shared_ptr<const Flags> flags,
                int (*run)(const Flags&, Console&)) {
  return {app, [flags = std::move(flags), run](Console& console) {
            console.configure(flags->output);
            return run(*flags, console);
          }};
}

Command add_generate(CLI::App& program);
Command add_chat(CLI::App& program);
Command add_batch(CLI::App& program);
Command add_score(CLI::App& program);
Command add_bench(CLI::App& program);
Command add_info(CLI::App& program);
Command add_demo(CLI::App& program);
Command add_tokenize(CLI::App& program);
Command add_quantize(CLI::App& program);
Command add_models(CLI::App& program);
Command add_completions(CLI::App& program);
Command add_man(CLI::App& program);

// Opens the model; its warnings and, with -v, what was loaded go to the log.
std::unique_ptr<Engine> open_engine(OpenOptions open);

// "AMD EPYC, avx512, 2 threads"
std::string machine_text(const DeviceInfo& device);

// What --act rounds the activations of this model's products to, "bf16"; empty where it does not.
std::string rounded_activations(Engine& engine);

// "1.2 MB"
std::string size_text(int64_t bytes);

// "4,552,960"
std::string grouped(int64_t number);

// Sends the engine's warnings to the log.
Warn log_warnings();

// The prompt's token ids, special tokens included.
std::vector<int32_t> prompt_ids(const Engine& engine, const Prompt& prompt);

// The same where the prompt goes on from an earlier text: without special tokens around it.
std::vector<int32_t> continuation_ids(const Engine& engine, const Prompt& prompt);

}  // namespace krait::cli
