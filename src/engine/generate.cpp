// The decode loop: sample, emit, feed, until something ends it.
#include <algorithm>
#include <numeric>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/engine/clock.h"
#include "src/engine/log_softmax.h"
#include "src/engine/stop_filter.h"

namespace krait {
namespace {

// Bytes of tokens -> valid UTF-8 -> text before any stop string, handed on as it becomes certain.
class Output {
 public:
  Output(const Tokenizer* tokenizer, const std::vector<std::string>& stops,
         const std::function<bool(std::string_view)>& on_text)
      : tokenizer_(tokenizer), filter_(stops), on_text_(on_text) {}

  void push(int32_t id) {
    if (tokenizer_) emit(filter_.push(utf8_.push(tokenizer_->token_bytes(id))));
  }
  // The tokens before the text: the character that they leave incomplete is where it begins.
  void start_after(std::span<const int32_t> ids) {
    constexpr size_t kLongestTail = 3;  // bytes
    std::string tail;
    for (size_t i = ids.size(); tokenizer_ && i > 0 && tail.size() < kLongestTail; --i)
      tail.insert(0, tokenizer_->token_bytes(ids[i - 1]));
    utf8_.push(tail);  // what is whole has been written, by whoever wrote it
  }
  // With `more` to come from a continuation, an incomplete character is its business.
  void finish(bool more) {
    if (!more) emit(filter_.push(utf8_.finish()));
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
  const std::function<bool(std::string_view)>& on_text_;
  std::string text_;
  bool refused_ = false;
};

bool is_set(const std::atomic<bool>* flag) { return flag && flag->load(std::memory_order_relaxed); }

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// What the model itself thinks of the tokens drawn.
class Judge {
 public:
  Judge(const GenerateOptions& options, int32_t vocabulary)
      : top_(options.logprobs), vocabulary_(vocabulary) {}

  // `is_text`: the token is one of the result's ids.
  void drawn(int32_t id, std::span<const float> logits, bool is_text, GenerateResult& result) {
    if (!top_) return;
    const LogSoftmax logprob(logits.first(vocabulary_));
    sum_ += logprob(id);
    result.mean_logprob = sum_ / static_cast<double>(++count_);
    if (!is_text) return;
    TokenLogprobs& entry = result.logprobs.emplace_back();
    entry.logprob = logprob(id);
    order_.resize(vocabulary_);
    std::iota(order_.begin(), order_.end(), 0);
    const auto kept = order_.begin() + std::clamp(*top_, 0, vocabulary_);
    std::partial_sort(order_.begin(), kept, order_.end(), [&](int32_t a, int32_t b) {
      return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    });
    for (auto it = order_.begin(); it != kept; ++it) entry.top.push_back({*it, logprob(*it)});
  }

 private:
  std::optional<int32_t> top_;
  int32_t vocabulary_;
  double sum_ = 0;
  int64_t count_ = 0;
  std::vector<int32_t> order_;  // scratch
};

// Samples and feeds until the end of the text; returns why it ended.
FinishReason decode(Engine& engine, Session& session, Sampler& sampler,
                    const GenerateOptions& options, Output& output, GenerateResult& result) {
  const auto generated = [&] { return static_cast<int64_t>(result.ids.size()); };
  Judge judge(options, engine.sampled_vocab());
  while (options.max_tokens < 0 || generated() < options.max_tokens) {
    if (is_set(options.interrupt)) return FinishReason::interrupted;
    const int32_t id = sampler.sample(session.logits(), static_cast<uint64_t>(session.position()));
    const bool is_end = !options.ignore_eos && contains(engine.special().eos, id);
    judge.drawn(id, session.logits(), !is_end, result);
    if (is_end) return FinishReason::eos;
    result.ids.push_back(id);
    sampler.accept(id);
    output.push(id);
    std::optional<FinishReason> ended;
    if (generated() == options.max_tokens) ended = FinishReason::length;
    if (output.stopped()) ended = FinishReason::stop;
    if (output.refused()) ended = FinishReason::interrupted;
    if (!ended || options.resumable) session.feed({&id, 1});  // else nobody looks at that state
    if (ended) return *ended;
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
  if (prompt.empty() && session.logits().empty())
    throw InputError("the prompt has no tokens; expected at least one");
  if (options.max_tokens < -1)
    throw InputError("--max-tokens " + std::to_string(options.max_tokens) +
                     ": expected 0 or more, or -1 for no limit");
  GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  result.sequence = options.sequence;
  result.timings.load_ms = engine.load_ms();
  Sampler sampler(options.sampling, engine.sampled_vocab(), options.seed, options.sequence);
  for (const auto ids : {session.ids(), prompt})
    for (const int32_t id : ids) sampler.accept(id);

  const Stopwatch prefill;
  session.feed(prompt, {}, options.interrupt);
  result.timings.prefill_ms = prefill.ms();
  const int64_t after_prefill = session.position();

  const Stopwatch decoding;
  Output output(engine.tokenizer(), options.stop, on_text);
  output.start_after(session.ids());
  result.finish_reason = is_set(options.interrupt)
                             ? FinishReason::interrupted
                             : decode(engine, session, sampler, options, output, result);
  output.finish(options.resumable && (result.finish_reason == FinishReason::length ||
                                      result.finish_reason == FinishReason::interrupted));
  if (output.stopped()) result.finish_reason = FinishReason::stop;
  result.timings.decode_ms = decoding.ms();
  result.timings.decode_steps = session.position() - after_prefill;
  result.text = std::move(output.text());
  return result;
}

}  // namespace krait
