#include <cmath>
#include <numbers>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "krait/error.h"
#include "src/cli/command.h"
#include "src/cli/score_stream.h"
#include "src/formats/npy.h"

namespace krait::cli {
namespace {

constexpr const char* kExamples =
    R"(The log-probability is the natural logarithm of the probability that the model
gives to a token after those before it; the first token has none, shown as 0 in
JSON.

With --stream the input may go on forever: memory stays the same. It is cut into
tokens line by line (of lines longer than 65536 bytes, piece by piece), and for
each line, once it has ended, its surprise is shown: -log2 of its probability
after everything before it. JSON adds the surprise of each token.

Examples:
  krait score -p "The cat sat on the mat."
  krait score -m ./my-model -f book.txt --json
  krait score --ids 5,17,3 --logits logits.npy
  tail -f app.log | krait score --stream)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  PromptFlags prompt;
  std::string logits;
  bool stream = false;
};

std::string token_text(const Tokenizer* tokenizer, int32_t id) {
  return tokenizer == nullptr ? "" : tokenizer->token_bytes(id, true);
}

nlohmann::ordered_json to_json(const ScoreResult& result, const Tokenizer* tokenizer) {
  auto tokens = nlohmann::ordered_json::array();
  for (const ScoredToken& t : result.tokens)
    tokens.push_back({{"id", t.id}, {"text", token_text(tokenizer, t.id)}, {"logprob", t.logprob}});
  return {{"tokens", std::move(tokens)}, {"nll", result.nll}, {"perplexity", result.perplexity}};
}

std::string to_table(const ScoreResult& result, const Tokenizer* tokenizer) {
  std::string out = "       #       id     logprob  token\n";
  size_t scored_bytes = 0;
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    const ScoredToken& t = result.tokens[i];
    const std::string text = token_text(tokenizer, t.id);
    if (i > 0) scored_bytes += text.size();
    out += fmt::format("{:>8} {:>8} {:>11}  {}\n", i, t.id,
                       i == 0 ? "-" : fmt::format("{:.4f}", t.logprob), escaped(text));
  }
  out += fmt::format("\n{} tokens, nll {:.4f}, perplexity {:.4f}", result.tokens.size(), result.nll,
                     result.perplexity);
  if (scored_bytes > 0)
    out += fmt::format(", {:.4f} bits per byte",
                       result.nll / std::numbers::ln2 / static_cast<double>(scored_bytes));
  return out + "\n";
}

int run_stream(const Flags& flags, Console& console) {
  const PromptFlags& p = flags.prompt;
  if (p.text || p.ids || (p.file && *p.file != "-") || !flags.logits.empty())
    throw InputError(
        "--stream reads standard input: leave out --prompt, --file, --ids and --logits");
  const auto engine = open_engine(flags.open);
  score_stream(*engine, flags.output.json, console);
  return kExitSuccess;
}

int run(const Flags& flags, Console& console) {
  if (flags.stream) return run_stream(flags, console);
  const Prompt prompt = read_prompt(flags.prompt);
  const auto engine = open_engine(flags.open);
  const std::vector<int32_t> ids = prompt_ids(*engine, prompt);

  std::optional<NpyWriter> writer;
  std::function<void(std::span<const float>)> on_logits;
  if (!flags.logits.empty()) {
    writer.emplace(flags.logits, static_cast<int64_t>(ids.size()),
                   engine->model().config().embedding_rows);
    on_logits = [&](std::span<const float> row) { writer->write_row(row); };
  }
  const ScoreResult result = score(*engine, ids, on_logits, &Console::interrupted());
  if (Console::interrupted()) throw Interrupted{};
  if (writer) writer->finish();

  if (flags.output.json) {
    console.write_json(to_json(result, engine->tokenizer()));
  } else {
    console.write(to_table(result, engine->tokenizer()));
  }
  return kExitSuccess;
}

}  // namespace

Command add_score(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "score", "Log-probability of every token of a text, and its perplexity");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  flags->open.all_logits = true;
  add_prompt_flags(*app, flags->prompt);
  add_ids_flag(*app, flags->prompt);
  app->add_flag("--stream", flags->stream,
                "Score standard input as it comes, line by line, without end")
      ->group("Prompt");
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_chunk_flag(*app, flags->open);
  add_output_flags(*app, flags->output);
  add_text(*app, "--logits", "FILE.npy",
           "Also write all logits: float32, one row per token, the logits after it",
           [=](const std::string& path) { flags->logits = path; })
      ->group("Output");
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
