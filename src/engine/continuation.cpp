#include "src/engine/continuation.h"

#include <algorithm>

#include "krait/error.h"
#include "src/engine/log_probability.h"

namespace krait {

Continuation::Continuation(const Engine& engine, const GenerateOptions& options, uint64_t sequence,
                           OnText on_text)
    : engine_(engine),
      options_(options),
      sampler_(options.sampling, engine.sampled_vocab(), options.seed, sequence),
      filter_(options.stop),
      on_text_(std::move(on_text)) {}

void Continuation::accept_prompt(std::span<const int32_t> ids) {
  for (const int32_t id : ids) sampler_.accept(id);
}

std::optional<int32_t> Continuation::next(std::span<const float> logits, int64_t position) {
  if (!may_go_on()) return std::nullopt;
  const int32_t id = sampler_.sample(logits, static_cast<uint64_t>(position));
  if (!options_.ignore_eos && is_eos(id)) {
    finish_reason_ = FinishReason::eos;
    return std::nullopt;
  }
  result_.ids.push_back(id);
  if (options_.logprobs >= 0)
    result_.logprobs.push_back(
        log_probabilities(logits.first(engine_.sampled_vocab()), id, options_.logprobs));
  sampler_.accept(id);
  push(id);
  // The state after the last token is not needed.
  return may_go_on() ? std::optional(id) : std::nullopt;
}

bool Continuation::may_go_on() {
  if (!finish_reason_ && options_.max_tokens >= 0 &&
      static_cast<int64_t>(result_.ids.size()) >= options_.max_tokens)
    finish_reason_ = FinishReason::length;
  return !finish_reason_;
}

void Continuation::push(int32_t id) {
  if (const Tokenizer* tokenizer = engine_.tokenizer())
    emit(filter_.push(utf8_.push(tokenizer->token_bytes(id))));
  if (filter_.stopped()) finish_reason_ = FinishReason::stop;
}

void Continuation::emit(const std::string& piece) {
  if (piece.empty()) return;
  result_.text += piece;
  if (on_text_ && !on_text_(piece)) {
    on_text_ = {};
    finish_reason_ = FinishReason::interrupted;
  }
}

bool Continuation::is_eos(int32_t id) const {
  const std::vector<int32_t>& eos = engine_.special().eos;
  return std::find(eos.begin(), eos.end(), id) != eos.end();
}

Completion Continuation::take() {
  KRAIT_CHECK(finish_reason_);
  emit(filter_.push(utf8_.finish()));
  emit(filter_.finish());
  if (filter_.stopped()) finish_reason_ = FinishReason::stop;
  result_.finish_reason = *finish_reason_;
  return std::move(result_);
}

}  // namespace krait
