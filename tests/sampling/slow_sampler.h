// The sampler as its contract reads, written for obviousness: sorts everything, recomputes
// everything, keeps nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "krait/sampler.h"

namespace krait {

int32_t slow_sample(const SamplingOptions& options, int32_t vocab, std::span<const float> logits,
                    std::span<const int32_t> history, uint64_t seed, uint64_t sequence,
                    uint64_t position);

// Peaked or flat, sometimes with equal values and -inf among them.
std::vector<float> random_logits(uint64_t seed, int32_t size);

// Each filter alone with random values, then everything together.
std::vector<SamplingOptions> filter_cases(uint64_t seed);

}  // namespace krait
