// Several completions of one prompt, by going back to the state after it.
#include <algorithm>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/base/clock.h"

namespace krait {
namespace {

constexpr int32_t kMaxCompletions = 1024;

void require_range(const char* flag, int32_t found, int32_t least) {
  if (found < least || found > kMaxCompletions)
    throw InputError(std::string(flag) + " " + std::to_string(found) + ": expected " +
                     std::to_string(least) + " to " + std::to_string(kMaxCompletions));
}

// Whole ones before one that was interrupted, then the likeliest per token.
bool is_better(const GenerateResult& a, const GenerateResult& b) {
  const auto interrupted = [](const GenerateResult& r) {
    return r.finish_reason == FinishReason::interrupted;
  };
  if (interrupted(a) != interrupted(b)) return interrupted(b);
  return a.mean_logprob > b.mean_logprob;
}

// The session stands after the prompt; nothing is fed but what is generated.
std::vector<GenerateResult> generate_all(
    Engine& engine, Session& session, GenerateOptions options, int32_t count,
    const std::function<bool(int32_t, std::string_view)>& on_text) {
  const Snapshot start = session.snapshot();
  const uint64_t first = options.sequence;
  std::vector<GenerateResult> results;
  for (int32_t i = 0; i < count; ++i) {
    if (i > 0) session.restore(start);
    options.sequence = first + static_cast<uint64_t>(i);
    const auto text = [&](std::string_view piece) { return !on_text || on_text(i, piece); };
    results.push_back(generate(engine, session, {}, options, text));
    if (results.back().finish_reason == FinishReason::interrupted) break;
  }
  session.restore(start);
  return results;
}

}  // namespace

Completions complete(Engine& engine, Session& session, std::span<const int32_t> prompt,
                     const GenerateOptions& options, const CompletionsOptions& completions,
                     const std::function<bool(int32_t, std::string_view)>& on_text) {
  require_range("--num-completions", completions.count, 1);
  require_range("--best-of", completions.best_of, completions.count);
  GenerateOptions each = options;
  if (completions.best_of > completions.count && !each.logprobs) each.logprobs = 0;
  Completions out;
  std::vector<GenerateResult>& choices = out.choices;

  // Refuses what it cannot use, before a long prompt is read.
  (void)Sampler(options.sampling, engine.sampled_vocab(), options.seed);

  const Stopwatch prefill;
  session.feed(prompt, {}, options.interrupt);
  out.timings.prefill_ms = prefill.ms();
  if (!prompt.empty() && session.logits().empty()) {
    choices.emplace_back().finish_reason = FinishReason::interrupted;
  } else if (completions.best_of == 1) {
    const auto text = [&](std::string_view piece) { return !on_text || on_text(0, piece); };
    choices.push_back(generate(engine, session, {}, each, text));
  } else {
    choices = generate_all(engine, session, each, completions.best_of, on_text);
  }

  out.prompt_tokens = static_cast<int64_t>(prompt.size());
  out.timings.load_ms = engine.load_ms();
  for (const GenerateResult& result : choices) {
    out.completion_tokens += static_cast<int64_t>(result.ids.size());
    out.timings.decode_ms += result.timings.decode_ms;
    out.timings.decode_steps += result.timings.decode_steps;
    out.interrupted |= result.finish_reason == FinishReason::interrupted;
  }
  if (completions.best_of > completions.count)
    std::stable_sort(choices.begin(), choices.end(), is_better);
  choices.resize(std::min(choices.size(), static_cast<size_t>(completions.count)));
  // The bits of a state do not depend on how its tokens were fed: reading the chosen text again
  // leads where writing it did.
  if (options.resumable && completions.best_of > 1) session.feed(choices.front().ids);
  return out;
}

}  // namespace krait
