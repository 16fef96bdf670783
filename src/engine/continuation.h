// One text being written: from logits to the next id, until something ends it. Whoever owns the
// state feeds the ids: generate() one sequence, the scheduler many at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "krait/engine.h"
#include "src/engine/stop_filter.h"

namespace krait {

class Continuation {
 public:
  // Receives valid UTF-8 as it becomes certain; returning false ends the text as interrupted.
  using OnText = std::function<bool(std::string_view)>;

  // `sequence` and options.seed choose the random numbers. Throws InputError for options out of
  // range.
  Continuation(const Engine& engine, const GenerateOptions& options, uint64_t sequence,
               OnText on_text = {});

  // Tokens that stand before the text: the penalties look at them.
  void accept_prompt(std::span<const int32_t> ids);

  // The id to feed next, chosen from the logits after `position` tokens; nullopt when the text is
  // over. Throws Failure for logits that cannot be sampled.
  std::optional<int32_t> next(std::span<const float> logits, int64_t position);

  // Ends the text from outside, unless it is over.
  void interrupt() {
    if (!finish_reason_) finish_reason_ = FinishReason::interrupted;
  }

  // The finished text; once, when it is over.
  Completion take();

 private:
  void push(int32_t id);
  void emit(const std::string& piece);
  bool may_go_on();
  bool is_eos(int32_t id) const;

  const Engine& engine_;
  GenerateOptions options_;
  Sampler sampler_;
  Utf8Stream utf8_;
  StopFilter filter_;
  OnText on_text_;
  Completion result_;
  std::optional<FinishReason> finish_reason_;
};

}  // namespace krait
