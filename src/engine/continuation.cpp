#include "src/engine/continuation.h"

#include <algorithm>
#include <numeric>

#include "krait/error.h"
#include "src/engine/log_softmax.h"

namespace krait {

Continuation::Continuation(const Engine& engine, const GenerateOptions& options,
                           std::span<const int32_t> before, OnText on_text,
                           std::shared_ptr<const StopStrings> stops)
    : engine_(engine),
      options_(options),
      sampler_(options.sampling, engine.sampled_vocab(), options.seed, options.sequence),
      filter_(stops ? std::move(stops) : std::make_shared<const StopStrings>(options.stop)),
      on_text_(std::move(on_text)) {
  // What filter and sampler hold may be long.
  options_.stop = {};
  options_.sampling.logit_bias = {};
  result_.sequence = options.sequence;
  for (const int32_t id : before) sampler_.accept(id);
  start_after(before);
  if (options.max_tokens == 0) finish_reason_ = FinishReason::length;
}

// What is whole of the text before has been written, by whoever wrote it.
void Continuation::start_after(std::span<const int32_t> ids) {
  constexpr size_t kLongestTail = 3;  // bytes of an incomplete character
  const Tokenizer* tokenizer = engine_.tokenizer();
  std::string tail;
  for (size_t i = ids.size(); tokenizer && i > 0 && tail.size() < kLongestTail; --i)
    tail.insert(0, tokenizer->token_bytes(ids[i - 1]));
  utf8_.push(tail);
  // Only the beginning of a text, or nothing, stands before it.
  drops_space_ = tokenizer && tokenizer->strips_leading_space() && tail.empty();
}

std::optional<int32_t> Continuation::next(std::span<const float> logits, int64_t position) {
  KRAIT_CHECK(!over());
  const int32_t id = sampler_.sample(logits, static_cast<uint64_t>(position));
  judge(id, logits, !is_end(id));
  return take_drawn(id);
}

std::optional<int32_t> Continuation::take_drawn(int32_t id) {
  KRAIT_CHECK(!over());
  if (is_end(id)) {
    finish_reason_ = FinishReason::eos;
    return std::nullopt;
  }
  result_.ids.push_back(id);
  sampler_.accept(id);
  if (static_cast<int64_t>(result_.ids.size()) == options_.max_tokens)
    finish_reason_ = FinishReason::length;
  push(id);
  if (filter_.stopped() && finish_reason_ != FinishReason::interrupted)
    finish_reason_ = FinishReason::stop;
  return id;
}

void Continuation::push(int32_t id) {
  const Tokenizer* tokenizer = engine_.tokenizer();
  std::string bytes = tokenizer ? tokenizer->token_bytes(id) : "";
  if (bytes.empty()) return;
  if (drops_space_ && bytes[0] == ' ') bytes.erase(0, 1);
  drops_space_ = false;
  emit(filter_.push(utf8_.push(bytes)));
}

void Continuation::interrupt() {
  if (!over()) finish_reason_ = FinishReason::interrupted;
}

bool Continuation::is_end(int32_t id) const {
  const auto holds = [id](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  return holds(options_.stop_ids) || (!options_.ignore_eos && holds(engine_.special().eos));
}

// What the model itself thinks of the token drawn. `is_text`: it is one of the result's ids.
void Continuation::judge(int32_t id, std::span<const float> logits, bool is_text) {
  if (!options_.logprobs) return;
  const int32_t vocabulary = engine_.sampled_vocab();
  const LogSoftmax logprob(logits.first(vocabulary));
  logprob_sum_ += logprob(id);
  result_.mean_logprob = logprob_sum_ / static_cast<double>(++judged_);
  if (!is_text) return;
  TokenLogprobs& entry = result_.logprobs.emplace_back();
  entry.logprob = logprob(id);
  order_.resize(vocabulary);
  std::iota(order_.begin(), order_.end(), 0);
  const auto kept = order_.begin() + std::clamp(*options_.logprobs, 0, vocabulary);
  std::partial_sort(order_.begin(), kept, order_.end(), [&](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  for (auto it = order_.begin(); it != kept; ++it) entry.top.push_back({*it, logprob(*it)});
}

void Continuation::emit(const std::string& piece) {
  if (piece.empty()) return;
  result_.text += piece;
  if (!on_text_ || on_text_(piece)) return;
  on_text_ = {};
  finish_reason_ = FinishReason::interrupted;
}

GenerateResult Continuation::take() {
  KRAIT_CHECK(over());
  // With more to come from a continuation, an incomplete character is its business.
  const bool more = options_.resumable && (*finish_reason_ == FinishReason::length ||
                                           *finish_reason_ == FinishReason::interrupted);
  const FinishReason reason = *finish_reason_;
  if (!more) emit(filter_.push(utf8_.finish()));
  emit(filter_.finish());
  result_.finish_reason = filter_.stopped() ? FinishReason::stop : reason;
  return std::move(result_);
}

}  // namespace krait
