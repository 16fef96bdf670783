#include <algorithm>
#include <random>

#include <spdlog/spdlog.h>

#include "krait/error.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  krait generate -p "Once upon a time"
  krait generate -m ./my-model -f prompt.txt -n 500 --temp 0.7 --seed 1
  echo "The old king" | krait generate --greedy --json)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  PromptFlags prompt;
  SamplingFlags sampling;
  int64_t max_tokens = GenerateOptions{}.max_tokens;
  bool echo = false;
};

double per_second(int64_t tokens, double ms) {
  return ms > 0 ? static_cast<double>(tokens) * 1000.0 / ms : 0;
}

// `fed`: tokens of the prompt that were read, fewer than all of them only after Ctrl-C.
nlohmann::ordered_json to_json(const GenerateResult& result, const std::string& text, int64_t fed,
                               const std::string& model, uint64_t seed) {
  const auto completion = static_cast<int64_t>(result.ids.size());
  const Timings& t = result.timings;
  return {{"text", text},
          {"ids", result.ids},
          {"finish_reason", to_string(result.finish_reason)},
          {"usage",
           {{"prompt_tokens", result.prompt_tokens},
            {"completion_tokens", completion},
            {"total_tokens", result.prompt_tokens + completion}}},
          {"timings",
           {{"load_ms", t.load_ms},
            {"prefill_ms", t.prefill_ms},
            {"decode_ms", t.decode_ms},
            {"prefill_tok_s", per_second(fed, t.prefill_ms)},
            {"decode_tok_s", per_second(t.decode_steps, t.decode_ms)}}},
          {"model", model},
          {"seed", seed}};
}

void note_statistics(Console& console, const GenerateResult& result, int64_t fed) {
  const auto note = [&](const char* what, int64_t tokens, double ms, const std::string& more) {
    console.note(fmt::format("{:<8}{:>7} tokens {:>9.2f} s {:>9.1f} tok/s{}", what, tokens,
                             ms / 1000, per_second(tokens, ms), more));
  };
  note("prefill", fed, result.timings.prefill_ms, "");
  note("decode", result.timings.decode_steps, result.timings.decode_ms,
       fmt::format("  ({})", to_string(result.finish_reason)));
}

int run(const Flags& flags, Console& console) {
  validate(flags.sampling.options);
  const Prompt prompt = read_prompt(flags.prompt);
  const auto engine = open_engine(flags.open);
  if (engine->tokenizer() == nullptr && !flags.output.json)
    throw InputError(engine->name() +
                     " has no tokenizer to write text with; give one with --tokenizer, or use "
                     "--json for the ids");
  const std::vector<int32_t> ids = prompt_ids(*engine, prompt);

  GenerateOptions options;
  options.max_tokens = flags.max_tokens;
  options.sampling = flags.sampling.options;
  options.stop = flags.sampling.stop;
  options.ignore_eos = flags.sampling.ignore_eos;
  options.interrupt = &Console::interrupted();
  // 32 bits are enough to tell runs apart, and short enough to type again.
  options.seed = flags.sampling.seed ? *flags.sampling.seed : std::random_device{}();
  spdlog::info("seed {}", options.seed);

  std::string echoed;
  if (flags.echo && !prompt.ids) echoed = prompt.text;
  if (flags.echo && prompt.ids && engine->tokenizer())
    echoed = decode(*engine->tokenizer(), ids, true);
  const auto session = engine->session();
  const bool stream = !flags.output.json;
  char last = '\n';
  const auto write = [&](std::string_view text) {
    if (!stream || text.empty()) return true;
    console.write(text);
    last = text.back();
    return true;
  };
  write(echoed);
  const GenerateResult result = generate(*engine, *session, ids, options, write);
  if (stream && last != '\n') console.write("\n");
  const int64_t fed = std::min(result.prompt_tokens, session->position());
  if (!stream)
    console.write_json(to_json(result, echoed + result.text, fed, engine->name(), options.seed));
  note_statistics(console, result, fed);
  return result.finish_reason == FinishReason::interrupted ? kExitInterrupted : kExitSuccess;
}

}  // namespace

Command add_generate(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "generate", "Continue a prompt; the text appears on standard output as it is written");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_prompt_flags(*app, flags->prompt);
  add_ids_flag(*app, flags->prompt);
  add_max_tokens_flag(*app, flags->max_tokens);
  app->add_flag("--echo", flags->echo, "Put the prompt before the text")->group("Prompt");
  add_sampling_flags(*app, flags->sampling);
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
