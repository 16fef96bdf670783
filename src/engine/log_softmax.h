// Log-probabilities from logits, summed in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace krait {

// log softmax(logits)[id] for any number of ids: the sum is made once. Keeps a view of `logits`.
class LogSoftmax {
 public:
  explicit LogSoftmax(std::span<const float> logits)
      : logits_(logits), largest_(*std::max_element(logits.begin(), logits.end())) {
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest_);
    log_sum_ = std::log(sum);
  }

  double operator()(int32_t id) const noexcept {
    return static_cast<double>(logits_[id]) - largest_ - log_sum_;
  }

 private:
  std::span<const float> logits_;
  double largest_;
  double log_sum_ = 0;
};

}  // namespace krait
