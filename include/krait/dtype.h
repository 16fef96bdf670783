// Element types of tensors, and the block types of quantised weights.
#pragma once

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
  q8_0,  // 32 weights: one scale, 32 int8
};

struct DTypeInfo {
  std::string_view name;   // as written on the command line: "bf16"
  int32_t block_elements;  // elements per block; 1 for plain types
  int32_t block_bytes;     // bytes per block as stored in files
};

const DTypeInfo& dtype_info(DType type) noexcept;
inline std::string_view dtype_name(DType type) noexcept { return dtype_info(type).name; }

// The type with that command-line name, if there is one.
std::optional<DType> parse_dtype(std::string_view name) noexcept;

// Types that a matrix product can be computed on directly (`--dtype`).
bool is_weight_type(DType type) noexcept;

// Scalar conversions. Narrowing rounds to nearest, ties to even; NaN stays NaN.
float f32_from_bf16(uint16_t bits) noexcept;
float f32_from_f16(uint16_t bits) noexcept;
uint16_t bf16_from_f32(float value) noexcept;
uint16_t f16_from_f32(float value) noexcept;

}  // namespace krait
