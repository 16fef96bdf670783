#include <algorithm>

#include <fmt/format.h>

#include "krait/error.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

constexpr const char* kExamples =
    R"(Reading the weights once per token is the least a decode step must do: the roof
is the memory read bandwidth measured in the same run, the share how close
decoding comes to it. JSON is one object per test, one per line.

Examples:
  krait bench
  krait bench -m ./my-model -p 64,512 -n 128 -r 10 -t 2 --dtype q8_0
  krait bench --json > bench.jsonl)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  BenchOptions bench;
};

nlohmann::ordered_json to_json(const BenchResult& r, Engine& engine) {
  const bool decode = r.n_gen > 0;
  const auto decode_only = [&](double value) {
    return decode ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
  };
  const DeviceInfo device = engine.backend().info();
  return {{"model", engine.name()},
          {"dtype", dtype_name(engine.model().weight_dtype())},
          {"device", device.name},
          {"cpu", device.detail},
          {"isa", device.isa},
          {"threads", device.threads},
          {"batch", 1},
          {"n_prompt", r.n_prompt},
          {"n_gen", r.n_gen},
          {"tok_s",
           {{"median", r.tok_s_median},
            {"min", *std::min_element(r.tok_s.begin(), r.tok_s.end())},
            {"max", *std::max_element(r.tok_s.begin(), r.tok_s.end())},
            {"all", r.tok_s}}},
          {"weight_bytes_per_token", engine.model().weight_bytes_per_token()},
          {"gb_s", decode_only(r.gb_s)},
          {"roof_gb_s", decode_only(r.roof_gb_s)},
          {"roof_share", decode_only(r.roof_share)},
          {"peak_rss_bytes", r.peak_rss_bytes}};
}

std::string heading(Engine& engine) {
  const DeviceInfo device = engine.backend().info();
  return fmt::format(
      "{}, {}, {:.1f} MB of weights per token\n{}: {}\n\n"
      "{:<8} {:>7} {:>12} {:>10} {:>10} {:>7} {:>7} {:>6}\n",
      engine.name(), dtype_name(engine.model().weight_dtype()),
      static_cast<double>(engine.model().weight_bytes_per_token()) / 1e6, device.name,
      machine_text(device), "test", "tokens", "median tok/s", "min", "max", "GB/s", "roof",
      "share");
}

std::string row(const BenchResult& r) {
  const bool decode = r.n_gen > 0;
  std::string out = fmt::format("{:<8} {:>7} {:>12.1f} {:>10.1f} {:>10.1f}",
                                decode ? "decode" : "prefill", decode ? r.n_gen : r.n_prompt,
                                r.tok_s_median, *std::min_element(r.tok_s.begin(), r.tok_s.end()),
                                *std::max_element(r.tok_s.begin(), r.tok_s.end()));
  if (decode)
    out += fmt::format(" {:>7.1f} {:>7.1f} {:>5.0f}%", r.gb_s, r.roof_gb_s, r.roof_share * 100);
  return out + "\n";
}

int run(const Flags& flags, Console& console) {
  const auto is_zero = [](int64_t n) { return n == 0; };
  if (std::all_of(flags.bench.prompts.begin(), flags.bench.prompts.end(), is_zero) &&
      std::all_of(flags.bench.tokens.begin(), flags.bench.tokens.end(), is_zero))
    throw InputError("--n-prompt 0 with --n-gen 0: there is nothing to measure");
  const auto engine = open_engine(flags.open);
  BenchOptions options = flags.bench;
  options.stop = &Console::interrupted();
  const bool json = flags.output.json;
  if (!json) console.write(heading(*engine));
  int64_t peak_rss_bytes = 0;
  bench(*engine, options, [&](const BenchResult& result) {
    peak_rss_bytes = result.peak_rss_bytes;
    if (json) {
      console.write_json(to_json(result, *engine));
    } else {
      console.write(row(result));
    }
  });
  if (Console::interrupted()) return kExitInterrupted;
  if (!json)
    console.write(
        fmt::format("\npeak memory {:.1f} MB\n", static_cast<double>(peak_rss_bytes) / 1e6));
  return kExitSuccess;
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "bench", "Measure speed, and how close it comes to what the memory allows");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  constexpr int64_t kMostTokens = 1 << 24;
  const auto add_list = [&](const std::string& names, const std::string& flag, const char* help,
                            std::vector<int64_t>& target) {
    add_text(*app, names, "N[,N...]", help, [&target, flag](const std::string& text) {
      target = parse_integers(flag, text, 0, kMostTokens);
    })->group("Measurement");
  };
  add_list("-p,--n-prompt", "--n-prompt", "Prompt lengths to prefill; 0 for none (default 512)",
           flags->bench.prompts);
  add_list("-n,--n-gen", "--n-gen", "How many tokens to decode; 0 for none (default 128)",
           flags->bench.tokens);
  add_integer(*app, "-r,--repetitions", 1, 1000, "How often each is measured (default 5)",
              [=](int64_t n) { flags->bench.repetitions = static_cast<int32_t>(n); })
      ->group("Measurement");
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_chunk_flag(*app, flags->open);
  add_output_flags(*app, flags->output);
  return {app, [=](Console& console) {
            console.configure(flags->output);
            return run(*flags, console);
          }};
}

}  // namespace krait::cli
