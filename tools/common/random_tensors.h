// The weights of a random checkpoint.
#pragma once

#include <vector>

#include "tools/common/random_checkpoint.h"
#include "tools/common/safetensors_writer.h"

namespace krait {

// All tensors in the order of the model, computed when they are written. Value i of tensor k is a
// function of (seed, k, i) alone.
std::vector<NamedTensor> random_tensors(const RandomCheckpoint& settings);

}  // namespace krait
