// Sixteen float32 lanes as one value, with bfloat16 storage and the exponentials of a Mamba
// block. Written with the vector extensions of GCC and Clang, for any instruction set.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>

namespace lanes {

constexpr int64_t kLanes = 16;

typedef float F __attribute__((vector_size(64)));
typedef int32_t I __attribute__((vector_size(64)));
typedef uint32_t U __attribute__((vector_size(64)));
typedef uint16_t H __attribute__((vector_size(32)));

inline F load(const float* p) {
  F v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline F load(const at::BFloat16* p) {
  H h;
  std::memcpy(&h, p, sizeof h);
  return (F)(__builtin_convertvector(h, U) << 16);
}
inline void store(float* p, F v) { std::memcpy(p, &v, sizeof v); }
inline void store(at::BFloat16* p, F v) {
  const U bits = (U)v;
  const U nearest_even = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const H h = __builtin_convertvector(nearest_even, H);
  std::memcpy(p, &h, sizeof h);
}
inline F splat(float x) { return x - F{}; }
inline float sum(F v) {
  float s = 0;
  for (int64_t i = 0; i < kLanes; ++i) s += v[i];
  return s;
}

// e^x = 2^n * 2^f with |f| <= 1/2: 2^f by its series, 2^n through the exponent bits.
inline F exp_lanes(F x) {
  const F lowest = splat(-87.0f), highest = splat(88.0f), rounder = splat(12582912.0f);  // 1.5 * 2^23
  x = x < lowest ? lowest : x;
  x = x > highest ? highest : x;
  const F t = x * 1.44269504f;
  const F shifted = t + rounder;
  const F f = t - (shifted - rounder);
  F p = f * 1.5403530e-4f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  return (F)((I)p + ((I)shifted << 23));
}
inline F sigmoid(F x) { return 1.0f / (1.0f + exp_lanes(-x)); }

// max(v, 0) + log(1 + e), e = exp(-|v|), with log(1 + e) = 2 atanh(e / (2 + e)): no
// cancellation for small e, where dt lives.
inline F softplus(F v) {
  const F zero = splat(0.0f), magnitude = v < zero ? -v : v;
  const F e = exp_lanes(-magnitude);
  const F s = e / (2.0f + e), s2 = s * s;
  F p = s2 * (1.0f / 13) + 1.0f / 11;
  p = p * s2 + 1.0f / 9;
  p = p * s2 + 1.0f / 7;
  p = p * s2 + 1.0f / 5;
  p = p * s2 + 1.0f / 3;
  p = p * s2 + 1.0f;
  return (v > zero ? v : zero) + 2.0f * s * p;
}

}  // namespace lanes
