// The decode loop: sample, emit, feed, until something ends it.
#include <algorithm>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/engine/clock.h"
#include "src/engine/stop_filter.h"

namespace krait {
namespace {

// Bytes of tokens -> valid UTF-8 -> text before any stop string, handed on as it becomes certain.
class Output {
 public:
  Output(const Tokenizer* tokenizer, const std::vector<std::string>& stops, bool at_start,
         const std::function<bool(std::string_view)>& on_text)
      : tokenizer_(tokenizer),
        filter_(stops),
        drops_space_(at_start && tokenizer && tokenizer->strips_leading_space()),
        on_text_(on_text) {}

  void push(int32_t id) {
    if (!tokenizer_) return;
    std::string bytes = tokenizer_->token_bytes(id);
    if (bytes.empty()) return;
    if (drops_space_ && bytes[0] == ' ') bytes.erase(0, 1);
    drops_space_ = false;
    emit(filter_.push(utf8_.push(bytes)));
  }
  void finish() {
    emit(filter_.push(utf8_.finish()));
    emit(filter_.finish());
  }
  bool stopped() const noexcept { return filter_.stopped(); }
  bool refused() const noexcept { return refused_; }
  std::string& text() noexcept { return text_; }

 private:
  void emit(const std::string& piece) {
    if (piece.empty()) return;
    text_ += piece;
    if (on_text_ && !refused_) refused_ = !on_text_(piece);
  }

  const Tokenizer* tokenizer_;
  Utf8Stream utf8_;
  StopFilter filter_;
  bool drops_space_;  // until the first byte
  const std::function<bool(std::string_view)>& on_text_;
  std::string text_;
  bool refused_ = false;
};

// Whether the tokens stand for no text, as that of the beginning alone.
bool are_silent(const Tokenizer* tokenizer, std::span<const int32_t> ids) {
  return tokenizer && std::all_of(ids.begin(), ids.end(), [tokenizer](int32_t id) {
           return tokenizer->token_bytes(id).empty();
         });
}

bool is_set(const std::atomic<bool>* flag) { return flag && flag->load(std::memory_order_relaxed); }

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Samples and feeds until the end of the text; returns why it ended.
FinishReason decode(Engine& engine, Session& session, Sampler& sampler,
                    const GenerateOptions& options, Output& output, std::vector<int32_t>& ids) {
  const auto generated = [&] { return static_cast<int64_t>(ids.size()); };
  while (options.max_tokens < 0 || generated() < options.max_tokens) {
    if (is_set(options.interrupt)) return FinishReason::interrupted;
    const int32_t id = sampler.sample(session.logits(), static_cast<uint64_t>(session.position()));
    if (!options.ignore_eos && contains(engine.special().eos, id)) return FinishReason::eos;
    ids.push_back(id);
    sampler.accept(id);
    output.push(id);
    if (output.refused()) return FinishReason::interrupted;
    if (output.stopped()) return FinishReason::stop;
    if (generated() == options.max_tokens) break;  // the state after the last token is not needed
    session.feed({&id, 1});
  }
  return FinishReason::length;
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
  if (prompt.empty() && session.position() == 0)
    throw InputError("the prompt has no tokens; expected at least one");
  if (options.max_tokens < -1)
    throw InputError("--max-tokens " + std::to_string(options.max_tokens) +
                     ": expected 0 or more, or -1 for no limit");
  GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  result.timings.load_ms = engine.load_ms();
  Sampler sampler(options.sampling, engine.sampled_vocab(), options.seed);
  for (const int32_t id : prompt) sampler.accept(id);

  const bool at_start = session.position() == 0 && are_silent(engine.tokenizer(), prompt);
  const Stopwatch prefill;
  session.feed(prompt, {}, options.interrupt);
  result.timings.prefill_ms = prefill.ms();
  const int64_t after_prefill = session.position();

  const Stopwatch decoding;
  Output output(engine.tokenizer(), options.stop, at_start, on_text);
  result.finish_reason = is_set(options.interrupt)
                             ? FinishReason::interrupted
                             : decode(engine, session, sampler, options, output, result.ids);
  output.finish();
  if (output.stopped()) result.finish_reason = FinishReason::stop;
  result.timings.decode_ms = decoding.ms();
  result.timings.decode_steps = session.position() - after_prefill;
  result.text = std::move(output.text());
  return result;
}

}  // namespace krait
