#include <chrono>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "krait/batch.h"
#include "krait/error.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

constexpr const char* kExamples =
    R"(Lines of the input are OpenAI batch requests, objects such as {"prompt": "Once upon", "n": 2}, or
plain prompts. Each gets one line of JSON in the results, in the order in which they end; the same
command started again goes on where it stopped.

Examples:
  krait batch -i prompts.txt -o results.jsonl -n 100
  krait batch -m ./my-model -i requests.jsonl -o results.jsonl --slots 32 --dtype q8_0)";

constexpr std::chrono::milliseconds kBarInterval{200};
constexpr int kBarWidth = 24;

struct Flags {
  OutputFlags output;
  OpenOptions open;
  SamplingFlags sampling;
  std::string input, results, chat_template;
  BatchFormat format = BatchFormat::automatic;
  int64_t max_tokens = GenerateOptions{}.max_tokens;
  int32_t slots = BatchOptions{}.slots;
};

double per_second(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

// One line that is drawn over itself, on a terminal only.
class Bar {
 public:
  explicit Bar(bool wanted) : visible_(wanted && ::isatty(STDERR_FILENO)) {}
  ~Bar() { clear(); }

  void show(const BatchProgress& p) {
    const auto now = std::chrono::steady_clock::now();
    if (!visible_ || now - shown_ < kBarInterval) return;
    shown_ = now;
    const double share =
        p.total_bytes > 0 ? static_cast<double>(p.input_bytes) / static_cast<double>(p.total_bytes)
                          : 0;
    std::string text;
    if (p.total_bytes > 0) {
      const int full = static_cast<int>(share * kBarWidth);
      text =
          fmt::format("{:3.0f} % [{:=<{}}{: <{}}] ", share * 100, "", full, "", kBarWidth - full);
    }
    text += fmt::format("{} lines, {:.0f} tok/s", p.finished,
                        per_second(p.completion_tokens, p.seconds));
    if (p.failed > 0) text += fmt::format(", {} failed", p.failed);
    if (share > 0.01) text += fmt::format(", {} left", duration(p.seconds * (1 - share) / share));
    write_error("\r" + text + "\x1b[K");
    drawn_ = true;
  }

  void clear() {
    if (drawn_) write_error("\r\x1b[K");
    drawn_ = false;
  }

 private:
  bool visible_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point shown_;
};

nlohmann::ordered_json to_json(const BatchProgress& p, const std::string& model) {
  return {{"finished", p.finished},
          {"failed", p.failed},
          {"resumed", p.resumed},
          {"usage",
           {{"prompt_tokens", p.prompt_tokens},
            {"cached_tokens", p.cached_tokens},
            {"completion_tokens", p.completion_tokens}}},
          {"seconds", p.seconds},
          {"tok_s", per_second(p.completion_tokens, p.seconds)},
          {"interrupted", p.interrupted},
          {"model", model}};
}

void note_summary(Console& console, const BatchProgress& p) {
  if (p.repaired_bytes > 0)
    console.note(fmt::format("cut off an unfinished last line of {} bytes", p.repaired_bytes));
  if (p.resumed > 0) console.note(fmt::format("{} lines were finished before", p.resumed));
  console.note(fmt::format("{} lines, {} failed, in {}", p.finished - p.resumed, p.failed,
                           duration(p.seconds)));
  console.note(fmt::format("{} prompt tokens ({} shared), {} written, {:.1f} tok/s",
                           p.prompt_tokens, p.cached_tokens, p.completion_tokens,
                           per_second(p.completion_tokens, p.seconds)));
}

int exit_code(const BatchProgress& p) {
  if (p.interrupted) return kExitInterrupted;
  return p.failed > 0 ? kExitSomeFailed : kExitSuccess;
}

// Nothing where the model's own cannot be used: lines with messages are refused one by one then,
// and others do not need it.
std::optional<ChatFormat> chat_format(const Engine& engine, const std::string& choice) {
  try {
    return std::make_optional<ChatFormat>(engine, choice);
  } catch (const InputError& e) {
    if (!choice.empty()) throw;
    spdlog::warn("lines with messages are refused: {}", e.what());
    return std::nullopt;
  }
}

int run(const Flags& flags, Console& console) {
  if (flags.input.empty())
    throw InputError("--input: which prompts? Give a file, or - for standard input");
  if (flags.results.empty()) throw InputError("--output: where to? Give the file for the results");
  validate(flags.sampling.options);
  OpenOptions open = flags.open;
  open.slots = flags.slots;
  const auto engine = open_engine(open);
  const std::optional<ChatFormat> chat = chat_format(*engine, flags.chat_template);
  BatchOptions options;
  options.chat = chat ? &*chat : nullptr;
  options.input = flags.input;
  options.results = flags.results;
  options.format = flags.format;
  options.slots = flags.slots;
  options.defaults.max_tokens = flags.max_tokens;
  options.defaults.sampling = flags.sampling.options;
  options.defaults.stop = flags.sampling.stop;
  options.defaults.ignore_eos = flags.sampling.ignore_eos;
  options.seed = flags.sampling.seed.value_or(0);
  options.interrupt = &Console::interrupted();
  Bar bar(!flags.output.quiet && !flags.output.json);
  const BatchProgress progress =
      run_batch(*engine, options, [&](const BatchProgress& p) { bar.show(p); });
  bar.clear();
  if (flags.output.json) console.write_json(to_json(progress, engine->name()));
  note_summary(console, progress);
  return exit_code(progress);
}

}  // namespace

Command add_batch(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "batch", "Continue a file of prompts, many at a time; can be stopped and resumed");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_text(*app, "-i,--input", "FILE", "The prompts, one per line; - for standard input",
           [=](const std::string& text) { flags->input = text; })
      ->group("Files");
  add_text(*app, "-o,--output", "FILE",
           "The results, one line of JSON each; an existing file is continued",
           [=](const std::string& text) { flags->results = text; })
      ->group("Files");
  add_choice(*app, "--format", {"auto", "json", "text"},
             "What the lines of the input are; auto looks at the first one (default auto)",
             [=](const std::string& word) {
               flags->format = word == "json"   ? BatchFormat::json
                               : word == "text" ? BatchFormat::text
                                                : BatchFormat::automatic;
             })
      ->group("Files");
  add_integer(*app, "--slots", 1, 1024,
              fmt::format("How many texts are written at the same time; changes speed and memory "
                          "only (default {})",
                          flags->slots),
              [=](int64_t n) { flags->slots = static_cast<int32_t>(n); })
      ->group("Files");
  add_chat_template_flag(*app, flags->chat_template);
  add_max_tokens_flag(*app, flags->max_tokens);
  add_sampling_flags(*app, flags->sampling);
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
