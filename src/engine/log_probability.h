// What the logits say of tokens: log softmax, natural logarithm, summed in double.
#pragma once

#include <cstdint>
#include <span>

#include "krait/engine.h"

namespace krait {

double log_probability(std::span<const float> logits, int32_t id);

// Of `id`, and of the `top` likeliest ids, likeliest first, of equal ones the lowest id first.
TokenLogprobs log_probabilities(std::span<const float> logits, int32_t id, int32_t top);

}  // namespace krait
