#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "krait/bench.h"
#include "krait/error.h"
#include "src/cli/bench_output.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

constexpr const char* kExamples =
    R"(Tests: pp, reading a prompt; tg, writing tokens one at a time. t/s is the median
and the standard deviation, with -b of all sequences together. A depth costs a
Mamba model nothing: its state does not grow.

Two limits of the machine are measured around every test. memory: a step must
read the weights once (size); the share is that of the read bandwidth.
arithmetic: two operations for each weight of a matrix and token (the head's
once a prompt), as a share of what the same instructions reach on registers
(with --act bf16 those of bf16).

--startup: load is the opening of the model, first token the time from there to
the first token after a prompt of 8, since start the whole since the process
began (the system counts in steps of 10 ms).

Examples:
  krait bench
  krait bench -m ./my-model -p 64,512 -n 128 -r 10 -t 2 --dtype q8_0
  krait bench -p 0 -n 64 -b 1,4,16 -d 0,4096
  krait bench --startup -o csv > bench.csv)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  BenchOptions bench;
  std::optional<BenchFormat> format;
  bool startup = false;
  bool profile = false;
};

BenchFormat format_of(const Flags& flags) {
  if (!flags.output.json) return flags.format.value_or(BenchFormat::markdown);
  if (flags.format && *flags.format != BenchFormat::jsonl)
    throw InputError("--json is -o jsonl: expected only one of --json and -o");
  return BenchFormat::jsonl;
}

BenchSubject subject_of(Engine& engine) {
  return {engine.name(),
          std::string(dtype_name(engine.model().weight_dtype())),
          rounded_activations(engine),
          engine.backend().info(),
          engine.model().weight_bytes_per_token(),
          engine.model().parameter_count()};
}

bool measures_nothing(const BenchOptions& options) {
  const auto is_zero = [](int64_t n) { return n == 0; };
  return options.pairs.empty() &&
         std::all_of(options.prompts.begin(), options.prompts.end(), is_zero) &&
         std::all_of(options.tokens.begin(), options.tokens.end(), is_zero);
}

int run(const Flags& flags, Console& console) {
  const BenchFormat format = format_of(flags);
  const bool no_tests = measures_nothing(flags.bench);
  if (no_tests && !flags.startup)
    throw InputError("--n-prompt 0 with --n-gen 0: there is nothing to measure");
  Profile profile;
  OpenOptions open = flags.open;
  BenchOptions options = flags.bench;
  for (const int64_t batch : options.batches)
    open.slots = std::max(open.slots, static_cast<int32_t>(batch));
  if (flags.profile) open.backend.profile = options.profile = &profile;
  const auto engine = open_engine(open);
  options.stop = &Console::interrupted();
  BenchWriter writer(format, subject_of(*engine));
  std::optional<Startup> startup;
  if (flags.startup) startup = measure_startup(*engine);  // before anything else is computed
  console.write(writer.begin());
  if (startup) console.write(writer.row(*startup));
  if (!no_tests)
    bench(*engine, options, [&](const BenchResult& result) { console.write(writer.row(result)); });
  console.write(writer.end());
  return Console::interrupted() ? kExitInterrupted : kExitSuccess;
}

constexpr int64_t kMostTokens = 1 << 24;

std::pair<int64_t, int64_t> parse_pair(const std::string& text) {
  const std::vector<int64_t> counts = parse_integers("--pg", text, 1, kMostTokens);
  if (counts.size() != 2) throw InputError(fmt::format("--pg {}: expected two numbers, N,M", text));
  return {counts[0], counts[1]};
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "bench", "Measure speed, and how close it comes to what the machine allows");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  BenchOptions& bench = flags->bench;
  const auto add_list = [&](const std::string& names, const std::string& flag, int64_t low,
                            int64_t high, const char* help, std::vector<int64_t>& target) {
    add_text(*app, names, "N[,N...]", help, [&target, flag, low, high](const std::string& text) {
      target = parse_integers(flag, text, low, high);
    })->group("Measurement");
  };
  add_list("-p,--n-prompt", "--n-prompt", 0, kMostTokens,
           "Prompt lengths to prefill; 0 for none (default 512)", bench.prompts);
  add_list("-n,--n-gen", "--n-gen", 0, kMostTokens,
           "How many tokens to decode; 0 for none (default 128)", bench.tokens);
  add_text(*app, "--pg", "N,M", "Also a prompt of N tokens and then M decoded, as one test",
           [&bench](const std::string& text) { bench.pairs = {parse_pair(text)}; })
      ->group("Measurement");
  add_list("-d,--n-depth", "--n-depth", 0, kMostTokens,
           "Tokens read before each measurement (default 0)", bench.depths);
  add_list("-b,--batch", "--batch", 1, kMostBenchBatch, "Sequences decoded together (default 1)",
           bench.batches);
  add_integer(*app, "-r,--repetitions", 1, 1000, "How often each is measured (default 5)",
              [=](int64_t n) { flags->bench.repetitions = static_cast<int32_t>(n); })
      ->group("Measurement");
  app->add_flag("--startup", flags->startup, "Also the time to load and to the first token")
      ->group("Measurement");
  app->add_flag("--profile", flags->profile, "Also the time of every stage, of one more run")
      ->group("Measurement");
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_chunk_flag(*app, flags->open);
  add_choice(*app, "-o,--output", {"md", "csv", "json", "jsonl"},
             "Form of the results (default md); --json is jsonl, an object a line",
             [=](const std::string& word) { flags->format = parse_bench_format(word); })
      ->group("Output");
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
