#include <algorithm>
#include <limits>
#include <random>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "krait/error.h"
#include "src/cli/command.h"
#include "src/cli/completions_output.h"
#include "src/cli/state_flags.h"

namespace krait::cli {
namespace {

constexpr int64_t kMaxLogprobs = 1000;
constexpr const char* kExamples = R"(Examples:
  krait generate -p "Once upon a time"
  krait generate -m ./my-model -f prompt.txt -n 500 --temp 0.7 --seed 1
  echo "The old king" | krait generate --greedy --json
  krait generate -p "The fox" --num-completions 3
  krait generate -p "The fox" -n 100 --save-state fox.state
  krait generate --load-state fox.state -n 100)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  PromptFlags prompt;
  SamplingFlags sampling;
  int64_t max_tokens = GenerateOptions{}.max_tokens;
  bool echo = false;
  CompletionsOptions completions;
  std::optional<int32_t> best_of;
  std::optional<int32_t> logprobs;
  StateFlags state;
};

void validate(const Flags& flags) {
  validate(flags.sampling.options);
  if (flags.logprobs && !flags.output.json)
    throw InputError("--logprobs: they are shown in JSON only; give --json, too");
  if (flags.best_of && *flags.best_of < flags.completions.count)
    throw InputError(fmt::format("--best-of {}: expected at least --num-completions, {}",
                                 *flags.best_of, flags.completions.count));
  if (!flags.state.save.empty() && flags.completions.count > 1)
    throw InputError("--save-state: a file holds one sequence; leave out --num-completions");
  validate(flags.state);
}

// With a loaded state there may be no prompt; then standard input is left alone.
std::optional<Prompt> find_prompt(const Flags& flags) {
  const PromptFlags& p = flags.prompt;
  if (!flags.state.load.empty() && !p.text && !p.file && !p.ids) return std::nullopt;
  return read_prompt(p);
}

SavedState resume(const Engine& engine, Session& session, const std::string& path) {
  SavedState saved = read_state(engine, path);
  if (saved.snapshot->logits.empty())
    throw InputError(path + ": the state holds no logits; there is nothing to go on from");
  session.restore(saved.snapshot);
  return saved;
}

void save(Engine& engine, const SavedState& state, const std::string& path, DType planes) {
  if (state.snapshot->logits.empty()) {
    spdlog::warn("interrupted inside the prompt: {} is not written", path);
    return;
  }
  write_state(engine, state, path, planes);
}

GenerateOptions generate_options(const Flags& flags, const SavedState& resumed) {
  GenerateOptions options;
  options.max_tokens = flags.max_tokens;
  options.sampling = flags.sampling.options;
  options.stop = flags.sampling.stop;
  options.ignore_eos = flags.sampling.ignore_eos;
  options.resumable = !flags.state.save.empty();
  options.logprobs = flags.logprobs;
  options.interrupt = &Console::interrupted();
  if (flags.sampling.seed) {
    options.seed = *flags.sampling.seed;
  } else if (resumed.snapshot) {
    options.seed = resumed.seed;
    options.sequence = resumed.sequence;
  } else {
    // 32 bits are enough to tell runs apart, and short enough to type again.
    options.seed = std::random_device{}();
  }
  spdlog::info("seed {}", options.seed);
  return options;
}

std::string echoed_text(const Flags& flags, const Engine& engine,
                        const std::optional<Prompt>& prompt, std::span<const int32_t> ids) {
  if (!flags.echo || !prompt) return "";
  if (!prompt->ids) return prompt->text;
  return engine.tokenizer() ? decode(*engine.tokenizer(), ids, true) : "";
}

int run(const Flags& flags, Console& console) {
  validate(flags);
  const std::optional<Prompt> prompt = find_prompt(flags);
  const auto engine = open_engine(flags.open);
  if (engine->tokenizer() == nullptr && !flags.output.json)
    throw InputError(engine->name() +
                     " has no tokenizer to write text with; give one with --tokenizer, or use "
                     "--json for the ids");
  const auto session = engine->session();
  SavedState resumed;
  if (!flags.state.load.empty()) resumed = resume(*engine, *session, flags.state.load);
  const int64_t cached = session->position();
  std::vector<int32_t> ids;
  if (prompt) ids = cached > 0 ? continuation_ids(*engine, *prompt) : prompt_ids(*engine, *prompt);
  const GenerateOptions options = generate_options(flags, resumed);
  CompletionsOptions counts = flags.completions;
  counts.best_of = flags.best_of.value_or(counts.count);

  const std::string echoed = echoed_text(flags, *engine, prompt, ids);
  CompletionsText text(console, echoed, counts.count);
  const bool as_it_comes = !flags.output.json && counts.best_of == counts.count;
  if (as_it_comes) text.write(0, "");
  bool closed = false;  // standard output; the state is kept all the same
  const auto write = [&](int32_t index, std::string_view piece) {
    try {
      if (!closed) text.write(index, piece);
    } catch (const ClosedPipe&) {
      closed = true;
    }
    return !closed;
  };
  const Completions completions = complete(
      *engine, *session, ids, options, counts,
      [&](int32_t index, std::string_view piece) { return !as_it_comes || write(index, piece); });
  const auto& choices = completions.choices;
  for (size_t i = 0; i < choices.size() && !flags.output.json; ++i)
    write(static_cast<int32_t>(i), as_it_comes ? "" : choices[i].text);
  if (!closed) text.finish();
  if (!flags.state.save.empty())
    save(*engine,
         {session->snapshot(), options.seed, choices.front().sequence,
          engine->model().weight_dtype()},
         flags.state.save, flags.state.dtype.value_or(DType::f32));
  if (closed) throw ClosedPipe{};
  const int64_t fed = std::min(completions.prompt_tokens, session->position() - cached);
  if (flags.output.json)
    console.write_json(to_json(completions, options,
                               {*engine, echoed, cached, fed, options.seed, counts.best_of > 1}));
  note_statistics(console, completions, fed);
  return completions.interrupted ? kExitInterrupted : kExitSuccess;
}

void add_completion_flags(CLI::App& app, const std::shared_ptr<Flags>& flags) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();  // the limit is the engine's
  add_integer(app, "--num-completions,--n", 1, kMost,
              "Write N completions of one prompt, which is read once (default 1)",
              [=](int64_t n) { flags->completions.count = static_cast<int32_t>(n); })
      ->group("Completions");
  add_integer(app, "--best-of", 1, kMost,
              "Write N, show only the likeliest per token (as many as --num-completions says)",
              [=](int64_t n) { flags->best_of = static_cast<int32_t>(n); })
      ->group("Completions");
  add_integer(app, "--logprobs", 0, kMaxLogprobs,
              "With --json: the log-probability of each token and of the N likeliest in its place, "
              "as the model gives them, before any sampling flag",
              [=](int64_t n) { flags->logprobs = static_cast<int32_t>(n); })
      ->group("Completions");
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
  add_completion_flags(*app, flags);
  add_state_flags(
      *app, flags->state,
      "Go on from there. A prompt, now optional, is read after what came before; the seed goes on, "
      "too, unless -s gives another. Other sampling flags are to be given again");
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_chunk_flag(*app, flags->open);
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
