#include "src/cli/completions_output.h"

#include <fmt/format.h>

namespace krait::cli {
namespace {

using nlohmann::ordered_json;

double per_second(int64_t tokens, double ms) {
  return ms > 0 ? static_cast<double>(tokens) * 1000.0 / ms : 0;
}

ordered_json scored(const Tokenizer* tokenizer, int32_t id, double logprob) {
  return {{"id", id},
          {"text", tokenizer == nullptr ? "" : tokenizer->token_bytes(id, true)},
          {"logprob", logprob}};
}

ordered_json logprobs_json(const Tokenizer* tokenizer, const GenerateResult& result) {
  auto tokens = ordered_json::array();
  for (size_t i = 0; i < result.logprobs.size(); ++i) {
    ordered_json token = scored(tokenizer, result.ids[i], result.logprobs[i].logprob);
    token["top"] = ordered_json::array();
    for (const ScoredToken& t : result.logprobs[i].top)
      token["top"].push_back(scored(tokenizer, t.id, t.logprob));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// The fields that belong to one completion.
ordered_json choice_json(const GenerateResult& result, const GenerateOptions& options,
                         const CompletionsContext& context) {
  ordered_json out = {{"text", context.echoed + result.text},
                      {"ids", result.ids},
                      {"finish_reason", to_string(result.finish_reason)}};
  if (options.logprobs) {
    out["mean_logprob"] = result.mean_logprob;
    out["logprobs"] = logprobs_json(context.engine.tokenizer(), result);
  }
  return out;
}

}  // namespace

void CompletionsText::begin(int32_t index) {
  for (; begun_ <= index; ++begun_) {
    finish();
    if (count_ > 1) put(fmt::format("--- completion {} of {} ---\n", begun_ + 1, count_));
    put(echoed_);
  }
}

void CompletionsText::write(int32_t index, std::string_view text) {
  begin(index);
  put(text);
}

void CompletionsText::finish() {
  if (last_ != '\n') put("\n");
}

void CompletionsText::put(std::string_view text) {
  if (text.empty()) return;
  console_.write(text);
  last_ = text.back();
}

ordered_json to_json(const Completions& completions, const GenerateOptions& options,
                     const CompletionsContext& context) {
  const Timings& t = completions.timings;
  ordered_json out = choice_json(completions.choices.front(), options, context);
  out["usage"] = {{"prompt_tokens", completions.prompt_tokens},
                  {"completion_tokens", completions.completion_tokens},
                  {"total_tokens", completions.prompt_tokens + completions.completion_tokens},
                  {"cached_tokens", context.cached_tokens}};
  out["timings"] = {{"load_ms", t.load_ms},
                    {"prefill_ms", t.prefill_ms},
                    {"decode_ms", t.decode_ms},
                    {"prefill_tok_s", per_second(context.fed, t.prefill_ms)},
                    {"decode_tok_s", per_second(t.decode_steps, t.decode_ms)}};
  out["model"] = context.engine.name();
  out["seed"] = context.seed;
  if (!context.list_choices) return out;
  auto choices = ordered_json::array();
  for (size_t i = 0; i < completions.choices.size(); ++i) {
    ordered_json choice = {{"index", i}, {"sequence", completions.choices[i].sequence}};
    choice.update(choice_json(completions.choices[i], options, context));
    choices.push_back(std::move(choice));
  }
  out["choices"] = std::move(choices);
  return out;
}

void note_statistics(Console& console, const Completions& completions, int64_t fed) {
  const auto note = [&](const char* what, int64_t tokens, double ms, const std::string& more) {
    console.note(fmt::format("{:<8}{:>7} tokens {:>9.2f} s {:>9.1f} tok/s{}", what, tokens,
                             ms / 1000, per_second(tokens, ms), more));
  };
  const Timings& t = completions.timings;
  std::string reasons;
  for (const GenerateResult& result : completions.choices)
    reasons += (reasons.empty() ? "" : ", ") + std::string(to_string(result.finish_reason));
  note("prefill", fed, t.prefill_ms, "");
  note("decode", t.decode_steps, t.decode_ms, fmt::format("  ({})", reasons));
}

}  // namespace krait::cli
