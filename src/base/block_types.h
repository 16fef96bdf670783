// The values of ggml's quantised blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "krait/dtype.h"

namespace krait {

inline constexpr int kMaxBlockElements = 256;

// The dtype_info(type).block_elements values of one block of a block type, in float32 as ggml
// computes them. `block` may lie at any alignment.
void dequantize_block(DType type, const std::byte* block, float* out) noexcept;

// The types that products are computed on: q8_0, q4_0, q4_k, q6_k.
bool has_block_parts(DType type) noexcept;

// The integers of a block of such a type. Element e is
//   d * scale[e / part] * (level[e] - offset) - dmin * min[e / 32]
// with the part and offset below. q8_0 and q4_0 have scale 1; only q4_k has a minimum.
struct BlockParts {
  uint16_t d = 0, dmin = 0;  // halves
  std::array<int8_t, 16> scale{};
  std::array<uint8_t, 8> min{};
  std::array<uint8_t, kMaxBlockElements> level{};
};
int elements_per_scale(DType type) noexcept;  // 16 or 32
int level_offset(DType type) noexcept;

void split_block(DType type, const std::byte* block, BlockParts& parts) noexcept;
// The inverse. The integers are within the bits that the type has for them.
void join_block(DType type, const BlockParts& parts, std::byte* block) noexcept;
// The first `count` elements.
void values_of(DType type, const BlockParts& parts, int64_t count, float* out) noexcept;

}  // namespace krait
