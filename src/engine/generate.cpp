// The decode loop: sample, emit, feed, until something ends it.
#include <limits>
#include <optional>
#include <vector>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/base/clock.h"
#include "src/engine/continuation.h"

namespace krait {
namespace {

bool is_set(const std::atomic<bool>* flag) { return flag && flag->load(std::memory_order_relaxed); }

// One token after another, each from logits that the host sees.
void write_looking(Session& session, const GenerateOptions& options, Continuation& text) {
  while (!text.over()) {
    if (is_set(options.interrupt)) {
      text.interrupt();
      break;
    }
    const std::optional<int32_t> id = text.next(session.logits(), session.position());
    // Nobody looks at the state after the last token unless the session goes on from there.
    if (id && (!text.over() || options.resumable)) session.feed({&*id, 1});
  }
}

// The same where only ids are needed.
void write_freely(Session& session, const GenerateOptions& options, Continuation& text) {
  if (is_set(options.interrupt)) text.interrupt();
  if (text.over()) return;
  const int64_t most =
      options.max_tokens < 0 ? std::numeric_limits<int64_t>::max() : options.max_tokens;
  session.advance(options.sampling, options.seed, options.sequence, most, [&](int32_t id) {
    if (is_set(options.interrupt)) {
      text.interrupt();
      return Verdict::stop;
    }
    if (!text.take_drawn(id)) return Verdict::stop;
    if (!text.over()) return Verdict::feed;
    return options.resumable ? Verdict::feed_and_stop : Verdict::stop;
  });
}

}  // namespace

std::string_view to_string(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::eos: return "eos";
    case FinishReason::interrupted: return "interrupted";
  }
  return "";
}

GenerateResult generate(Engine& engine, Session& session, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& on_text) {
  if (prompt.empty() && session.logits().empty())
    throw InputError("the prompt has no tokens; expected at least one");
  if (options.max_tokens < -1)
    throw InputError("--max-tokens " + std::to_string(options.max_tokens) +
                     ": expected 0 or more, or -1 for no limit");
  std::vector<int32_t> before(session.ids().begin(), session.ids().end());
  before.insert(before.end(), prompt.begin(), prompt.end());
  Continuation text(engine, options, before, on_text);

  const Stopwatch prefill;
  session.feed(prompt, {}, options.interrupt);
  static_cast<void>(session.logits());  // which are part of it
  const double prefill_ms = prefill.ms();
  const int64_t after_prefill = session.position();

  const Stopwatch decoding;
  if (options.logprobs || looks_back(options.sampling))
    write_looking(session, options, text);
  else
    write_freely(session, options, text);
  GenerateResult result = text.take();
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  result.timings.load_ms = engine.load_ms();
  result.timings.prefill_ms = prefill_ms;
  result.timings.decode_ms = decoding.ms();
  result.timings.decode_steps = session.position() - after_prefill;
  return result;
}

}  // namespace krait
