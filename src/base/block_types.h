// The values of ggml's quantised blocks.
#pragma once

#include <cstddef>

#include "krait/dtype.h"

namespace krait {

inline constexpr int kMaxBlockElements = 256;

// The dtype_info(type).block_elements values of one block of a block type, in float32 as ggml
// computes them. `block` may lie at any alignment.
void dequantize_block(DType type, const std::byte* block, float* out) noexcept;

}  // namespace krait
