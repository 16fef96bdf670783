// Element types of tensors, and the block types of quantised weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace krait {

enum class DType : uint8_t {
  f32,
  f16,
  bf16,
  f64,
  i8,
  i16,
  i32,
  i64,
  u8,
  boolean,
  // Blocks of 32 weights, as ggml lays them out.
  q8_0,  // one scale, 32 int8
  q4_0,  // a scale, 4 bits each
  q4_1,  // a scale and a minimum, 4 bits each
  q5_0,
  q5_1,
  // Super-blocks of 256 weights, whose 8 or 16 parts have small integer scales of their own.
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
};
inline constexpr size_t kDTypeCount = 20;

struct DTypeInfo {
  std::string_view name;   // as written on the command line: "bf16"
  int32_t block_elements;  // elements per block; 1 for plain types
  int32_t block_bytes;     // bytes per block as stored in files
};

const DTypeInfo& dtype_info(DType type) noexcept;
inline std::string_view dtype_name(DType type) noexcept { return dtype_info(type).name; }

// The type with that command-line name, if there is one.
std::optional<DType> parse_dtype(std::string_view name) noexcept;

// Several elements share a scale, so that only whole blocks can be read.
inline bool is_block_type(DType type) noexcept { return dtype_info(type).block_elements > 1; }

// Types that a matrix product can be computed on directly (`--dtype`).
bool is_weight_type(DType type) noexcept;

// Scalar conversions. Narrowing rounds to nearest, ties to even; NaN stays NaN.
float f32_from_bf16(uint16_t bits) noexcept;
float f32_from_f16(uint16_t bits) noexcept;
uint16_t bf16_from_f32(float value) noexcept;
uint16_t f16_from_f32(float value) noexcept;

}  // namespace krait
