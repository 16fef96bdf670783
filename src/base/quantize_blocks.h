// float32 weights into ggml's quantised blocks.
#pragma once

#include <cstddef>

#include "krait/dtype.h"
#include "src/base/block_types.h"

namespace krait {

// Quantises one block of dtype_info(type).block_elements values, for the types of
// has_block_parts. q8_0 and q4_0 are bit for bit those of ggml; q4_k and q6_k search for the scales
// of least squared error. Values are finite and at most block_type_limit(type) in magnitude.
void quantize_block(DType type, const float* in, std::byte* out) noexcept;
void quantize_block(DType type, const float* in, BlockParts& out) noexcept;

// The largest magnitude whose scales a half can hold.
float block_type_limit(DType type) noexcept;

}  // namespace krait
