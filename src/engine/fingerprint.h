// What tells one model from another.
#pragma once

#include <cstdint>

#include "krait/checkpoint.h"
#include "krait/model.h"

namespace krait {

// As Engine::fingerprint() says. Reads at most a few kilobytes of each tensor, so that the time it
// takes does not grow with the size of the weights.
uint64_t fingerprint_of(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace krait
