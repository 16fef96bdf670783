// One text being written: from logits to the next id, until something ends it. Whoever holds the
// state feeds the ids: generate() for one sequence, the scheduler for many at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

  // `before`: all ids before the text. Penalties look at them, and a character that they leave
  // incomplete is where the text begins. options.interrupt is not looked at. `stops` are those of
  // options.stop, for completions that share them. Throws InputError for options out of range.
  Continuation(const Engine& engine, const GenerateOptions& options,
               std::span<const int32_t> before, OnText on_text = {},
               std::shared_ptr<const StopStrings> stops = nullptr);

  // Draws a token from the logits after `position` tokens; not when over(). nullopt when the text
  // ends without it: by EOS, or because no token is allowed. Throws Failure for logits that cannot
  // be sampled.
  std::optional<int32_t> next(std::span<const float> logits, int64_t position);

  // The same for a token that somebody else has drawn, without its log-probability.
  std::optional<int32_t> take_drawn(int32_t id);

  bool over() const noexcept { return finish_reason_.has_value(); }

  // Whether on_text has not yet been given all there is: an incomplete character, or what may
  // become a stop string.
  bool holds_back() const noexcept { return utf8_.holds_back() || filter_.holds_back(); }
  bool mid_character() const noexcept { return utf8_.holds_back(); }
  // Whether a stop string has appeared; EOS.
  bool stopped() const noexcept { return filter_.stopped(); }
  bool ended_by_eos() const noexcept { return finish_reason_ == FinishReason::eos; }

  // The text given so far.
  const std::string& text() const noexcept { return result_.text; }

  // Ends the text from outside, unless it is over.
  void interrupt();

  // The text, its ids, why it ended; everything but prompt_tokens and timings. Once, when over().
  GenerateResult take();

 private:
  void start_after(std::span<const int32_t> ids);
  void push(int32_t id);
  void judge(int32_t id, std::span<const float> logits, bool is_text);
  void emit(const std::string& piece);
  bool is_end(int32_t id) const;

  const Engine& engine_;
  GenerateOptions options_;
  Sampler sampler_;
  Utf8Stream utf8_;
  StopFilter filter_;
  OnText on_text_;
  GenerateResult result_;
  std::optional<FinishReason> finish_reason_;
  bool drops_space_ = false;  // until the first byte
  double logprob_sum_ = 0;
  int64_t judged_ = 0;
  std::vector<int32_t> order_;  // scratch of judge()
};

}  // namespace krait
