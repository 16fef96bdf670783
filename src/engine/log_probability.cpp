#include "src/engine/log_probability.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace krait {
namespace {

// log of the sum of exp(logit)
double log_normalizer(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

}  // namespace

double log_probability(std::span<const float> logits, int32_t id) {
  return static_cast<double>(logits[id]) - log_normalizer(logits);
}

TokenLogprobs log_probabilities(std::span<const float> logits, int32_t id, int32_t top) {
  const double normalizer = log_normalizer(logits);
  TokenLogprobs out;
  out.id = id;
  out.logprob = logits[id] - normalizer;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<std::ptrdiff_t>(top, static_cast<std::ptrdiff_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  for (std::ptrdiff_t i = 0; i < count; ++i)
    out.top.push_back({order[i], logits[order[i]] - normalizer});
  return out;
}

}  // namespace krait
