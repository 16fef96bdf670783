// Conversions and arithmetic of device.h on the CPU.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace krait::cuda {

inline float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t bits_of_float(float value) { return std::bit_cast<uint32_t>(value); }

inline uint32_t pack_bf16(float low, float high) {
  const auto round = [](float value) -> uint32_t {
    const uint32_t bits = bits_of_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // any NaN becomes this one
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  };
  return round(high) << 16 | round(low);
}

inline float f32_of_f16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits} >> 15 << 31;
  const uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023u;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
  const float value = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -value : value;
}

inline uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t out = 0;
  for (uint32_t n = 0; n < 4; ++n)
    out |= static_cast<uint32_t>(bytes >> (selector >> n * 4 & 7) * 8 & 255) << n * 8;
  return out;
}

inline uint32_t add_bf16(uint32_t a, uint32_t b) {
  return pack_bf16(float_of_bits(a << 16) + float_of_bits(b << 16),
                   float_of_bits(a & 0xffff0000u) + float_of_bits(b & 0xffff0000u));
}

inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
inline float exp2_fast(float x) { return std::exp2(x); }
inline float divide_fast(float a, float b) { return a / b; }
inline float reciprocal_root(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}

}  // namespace krait::cuda
