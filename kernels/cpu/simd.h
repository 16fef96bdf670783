// The vector layer: 16 float lanes on every instruction set (one register with AVX-512, two with
// AVX2, an array otherwise). Kernels are written once over it. Because the lanes and the order of
// operations are the same everywhere, AVX2 and AVX-512 give the same bits; scalar differs only in
// that it has no fused multiply-add.
//
// This folder is compiled once per instruction set with its flags, so nothing here may include
// standard headers with inline functions: their code could reach machines that cannot run it.
//
// To add an instruction set: give it the two structs and the functions below, an entry in
// CMakeLists.txt, and a line in src/backend/cpu/isa.cpp. An extension of one (avx512vnni) defines
// the names of those it extends, too, replaces single functions here, and lists in CMakeLists.txt
// the sources that these are used in; table.cpp takes the rest from the set it extends.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(KRAIT_ISA_avx2) || defined(KRAIT_ISA_avx512)
#include <immintrin.h>
#endif

#define KRAIT_INLINE inline __attribute__((always_inline))
#define KRAIT_UNROLL _Pragma("GCC unroll 32")

namespace krait::cpu::KRAIT_ISA {

inline constexpr int kLanes = 16;

// Into the second-level cache. The address need not be valid.
KRAIT_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

template <class Bits>
KRAIT_INLINE float float_of_bits(Bits bits) {
  static_assert(sizeof bits == sizeof(float));
  float r;
  std::memcpy(&r, &bits, sizeof r);
  return r;
}

#if defined(KRAIT_ISA_avx512)

// Tokens that share one load of a panel: 24 accumulators of the 32 registers.
inline constexpr int kTokenBlock = 12;

struct F {
  __m512 v;
};
struct I {
  __m512i v;
};

KRAIT_INLINE __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

KRAIT_INLINE F zero() { return {_mm512_setzero_ps()}; }
KRAIT_INLINE F set1(float x) { return {_mm512_set1_ps(x)}; }
KRAIT_INLINE F load(const float* p) { return {_mm512_loadu_ps(p)}; }
KRAIT_INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
// The first n lanes (0 < n <= 16); the others are 0 and are not touched in memory.
KRAIT_INLINE F load_first(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(n == kLanes ? static_cast<__mmask16>(0xffff) : first_lanes(n), p)};
}
KRAIT_INLINE void store_first(float* p, F a, int64_t n) {
  _mm512_mask_storeu_ps(p, n == kLanes ? static_cast<__mmask16>(0xffff) : first_lanes(n), a.v);
}
KRAIT_INLINE F add(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
KRAIT_INLINE F sub(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
KRAIT_INLINE F mul(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
KRAIT_INLINE F div(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
// a * b + c
KRAIT_INLINE F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// If either is NaN, the second.
KRAIT_INLINE F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
KRAIT_INLINE F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
KRAIT_INLINE F floor(F a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
KRAIT_INLINE F abs(F a) { return {_mm512_abs_ps(a.v)}; }
// Lane by lane: x > y ? a : b (false for NaN).
KRAIT_INLINE F select_greater(F x, F y, F a, F b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_GT_OQ), b.v, a.v)};
}
// a * 2^n for integral n in [-252, 254], rounded once.
KRAIT_INLINE F scale_by_power(F a, F n) { return {_mm512_scalef_ps(a.v, n.v)}; }

KRAIT_INLINE F load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}

KRAIT_INLINE I set1(int32_t x) { return {_mm512_set1_epi32(x)}; }
KRAIT_INLINE I load_bytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }  // 64
KRAIT_INLINE I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
// Byte by byte: (a >> kRight) & mask, to the left if negative. The mask is clear where the bits of
// a neighbouring byte would come in.
template <int kRight>
KRAIT_INLINE I bits(I a, int mask) {
  const __m512i moved =
      kRight > 0 ? _mm512_srli_epi16(a.v, kRight) : _mm512_slli_epi16(a.v, -kRight);
  return {_mm512_and_si512(moved, _mm512_set1_epi8(static_cast<char>(mask)))};
}
// acc[i] += sum_j w[4 i + j] * x[j], w unsigned and x signed bytes, exactly; dot4_small for w <
// 128.
#if defined(KRAIT_ISA_avx512vnni)
KRAIT_INLINE I dot4(I acc, I w, I x) { return {_mm512_dpbusd_epi32(acc.v, w.v, x.v)}; }
KRAIT_INLINE I dot4_small(I acc, I w, I x) { return dot4(acc, w, x); }
#else
KRAIT_INLINE I dot4(I acc, I w, I x) {
  // 16-bit products of even and odd bytes: the 8-bit multiply-add instruction would saturate.
  const __m512i w_even = _mm512_and_si512(w.v, _mm512_set1_epi16(0xff));
  const __m512i w_odd = _mm512_srli_epi16(w.v, 8);
  const __m512i x_even = _mm512_srai_epi16(_mm512_slli_epi16(x.v, 8), 8);
  const __m512i x_odd = _mm512_srai_epi16(x.v, 8);
  const __m512i even = _mm512_add_epi32(acc.v, _mm512_madd_epi16(w_even, x_even));
  return {_mm512_add_epi32(even, _mm512_madd_epi16(w_odd, x_odd))};
}
KRAIT_INLINE I dot4_small(I acc, I w, I x) {
  const __m512i pairs = _mm512_maddubs_epi16(w.v, x.v);
  return {_mm512_add_epi32(acc.v, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
}
#endif
// Of each lane of two bf16, the one in the low or in the high half, widened.
KRAIT_INLINE F first_bf16(I a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(a.v, 16))}; }
KRAIT_INLINE F second_bf16(I a) {
  return {
      _mm512_castsi512_ps(_mm512_and_si512(a.v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}
#if defined(KRAIT_ISA_avx512bf16)
// acc[i] + w[i] first * x[i] first + w[i] second * x[i] second, lanes of two bf16. The order of the
// sums is that of the instruction; subnormal numbers count as zero.
KRAIT_INLINE F dot2_bf16(F acc, I w, I x) {
  return {
      _mm512_dpbf16_ps(acc.v, reinterpret_cast<__m512bh>(w.v), reinterpret_cast<__m512bh>(x.v))};
}
#endif
KRAIT_INLINE F load_u8(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
KRAIT_INLINE F load_i8(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
KRAIT_INLINE F to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }

// Sum of all lanes, always by the same tree: lane i + 8, then i + 4, i + 2, i + 1.
KRAIT_INLINE float sum(F a) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
// The largest |lane| of both; infinity or NaN if any lane is: as bits they are above all numbers.
KRAIT_INLINE float max_magnitude(F a, F b) {
  const __m512i bits_a = _mm512_castps_si512(_mm512_abs_ps(a.v));
  const __m512i bits_b = _mm512_castps_si512(_mm512_abs_ps(b.v));
  return float_of_bits(_mm512_reduce_max_epi32(_mm512_max_epi32(bits_a, bits_b)));
}
// The lanes as int8, rounded to nearest even. Lanes are within [-127, 127].
KRAIT_INLINE void store_int8(int8_t* p, F a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
// The lanes as bf16, rounded to nearest even; NaN stays NaN.
KRAIT_INLINE void store_bf16(uint16_t* p, F a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __m512i kept =
      _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), quiet);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
}

#elif defined(KRAIT_ISA_avx2)

inline constexpr int kTokenBlock = 3;

struct F {
  __m256 lo, hi;
};
struct I {
  __m256i lo, hi;
};

KRAIT_INLINE F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
KRAIT_INLINE F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
KRAIT_INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
KRAIT_INLINE void store(float* p, F a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
KRAIT_INLINE F load_first(const float* p, int64_t n) {
  alignas(32) float lanes[kLanes] = {};
  std::memcpy(lanes, p, static_cast<size_t>(n) * sizeof(float));
  return load(lanes);
}
KRAIT_INLINE void store_first(float* p, F a, int64_t n) {
  alignas(32) float lanes[kLanes];
  store(lanes, a);
  std::memcpy(p, lanes, static_cast<size_t>(n) * sizeof(float));
}
KRAIT_INLINE F add(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
KRAIT_INLINE F sub(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
KRAIT_INLINE F mul(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
KRAIT_INLINE F div(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
KRAIT_INLINE F fma(F a, F b, F c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
KRAIT_INLINE F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
KRAIT_INLINE F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
KRAIT_INLINE F floor(F a) {
  constexpr int kMode = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
}
KRAIT_INLINE F abs(F a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
KRAIT_INLINE F select_greater(F x, F y, F a, F b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, y.lo, _CMP_GT_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, y.hi, _CMP_GT_OQ))};
}
// Two factors, because 2^n alone may lie outside the normal range; only the second one rounds.
KRAIT_INLINE __m256 scale_half(__m256 a, __m256 n) {
  const __m256i exponent = _mm256_cvtps_epi32(n);
  const __m256i first = _mm256_srai_epi32(exponent, 1);
  const __m256i second = _mm256_sub_epi32(exponent, first);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i f = _mm256_slli_epi32(_mm256_add_epi32(first, bias), 23);
  const __m256i s = _mm256_slli_epi32(_mm256_add_epi32(second, bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(f)), _mm256_castsi256_ps(s));
}
KRAIT_INLINE F scale_by_power(F a, F n) { return {scale_half(a.lo, n.lo), scale_half(a.hi, n.hi)}; }

KRAIT_INLINE F load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}

KRAIT_INLINE I set1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
KRAIT_INLINE __m256i dot4_half(__m256i acc, __m256i w, __m256i x) {
  // 16-bit products of even and odd bytes: the 8-bit multiply-add instruction would saturate.
  const __m256i w_even = _mm256_and_si256(w, _mm256_set1_epi16(0xff));
  const __m256i w_odd = _mm256_srli_epi16(w, 8);
  const __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
  const __m256i x_odd = _mm256_srai_epi16(x, 8);
  acc = _mm256_add_epi32(acc, _mm256_madd_epi16(w_even, x_even));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(w_odd, x_odd));
}
KRAIT_INLINE I dot4(I acc, I w, I x) {
  return {dot4_half(acc.lo, w.lo, x.lo), dot4_half(acc.hi, w.hi, x.hi)};
}
KRAIT_INLINE __m256i dot4_small_half(__m256i acc, __m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(w, x);
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
KRAIT_INLINE I dot4_small(I acc, I w, I x) {
  return {dot4_small_half(acc.lo, w.lo, x.lo), dot4_small_half(acc.hi, w.hi, x.hi)};
}
KRAIT_INLINE F first_bf16(I a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(a.lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(a.hi, 16))};
}
KRAIT_INLINE F second_bf16(I a) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(a.lo, mask)),
          _mm256_castsi256_ps(_mm256_and_si256(a.hi, mask))};
}
KRAIT_INLINE I load_bytes(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
KRAIT_INLINE I operator|(I a, I b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
template <int kRight>
KRAIT_INLINE __m256i bits_half(__m256i a, int mask) {
  const __m256i moved = kRight > 0 ? _mm256_srli_epi16(a, kRight) : _mm256_slli_epi16(a, -kRight);
  return _mm256_and_si256(moved, _mm256_set1_epi8(static_cast<char>(mask)));
}
template <int kRight>
KRAIT_INLINE I bits(I a, int mask) {
  return {bits_half<kRight>(a.lo, mask), bits_half<kRight>(a.hi, mask)};
}
KRAIT_INLINE F load_u8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
KRAIT_INLINE F load_i8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
KRAIT_INLINE F to_float(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }

KRAIT_INLINE float sum(F a) {
  const __m256 half = _mm256_add_ps(a.lo, a.hi);
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
KRAIT_INLINE float max_magnitude(F a, F b) {
  const F abs_a = abs(a), abs_b = abs(b);
  const __m256i most_a =
      _mm256_max_epi32(_mm256_castps_si256(abs_a.lo), _mm256_castps_si256(abs_a.hi));
  const __m256i most_b =
      _mm256_max_epi32(_mm256_castps_si256(abs_b.lo), _mm256_castps_si256(abs_b.hi));
  const __m256i most = _mm256_max_epi32(most_a, most_b);
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return float_of_bits(_mm_cvtsi128_si32(m));
}
KRAIT_INLINE void store_int8(int8_t* p, F a) {
  // Packing interleaves the halves of the registers: put them right again.
  const __m256i words = _mm256_permute4x64_epi64(
      _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)), 0xd8);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(p),
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
KRAIT_INLINE __m256i bf16_half(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}
KRAIT_INLINE void store_bf16(uint16_t* p, F a) {
  const __m256i words = _mm256_packus_epi32(bf16_half(a.lo), bf16_half(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(words, 0xd8));
}

#else
#include "kernels/cpu/simd_scalar.inl"
#endif

// All lanes, or only the first ones: where channels end within a vector.
template <bool kWhole>
KRAIT_INLINE F get(const float* p, int64_t lanes) {
  return kWhole ? load(p) : load_first(p, lanes);
}
template <bool kWhole>
KRAIT_INLINE void put(float* p, F v, int64_t lanes) {
  if constexpr (kWhole)
    store(p, v);
  else
    store_first(p, v, lanes);
}

KRAIT_INLINE F neg(F a) { return sub(set1(-0.0f), a); }

#if !defined(KRAIT_ISA_avx512bf16)
KRAIT_INLINE F dot2_bf16(F acc, I w, I x) {
  return fma(second_bf16(w), second_bf16(x), fma(first_bf16(w), first_bf16(x), acc));
}
#endif

}  // namespace krait::cpu::KRAIT_ISA
