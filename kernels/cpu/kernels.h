// What the CPU kernels offer, as plain functions over pointers and sizes. One table per instruction
// set; the backend picks one at start-up. Nothing here allocates, throws or knows of threads: the
// caller splits panels, rows or channels and gives each thread its part. Parameter arrays (bias,
// taps, a, d, dt_bias; decay and c of S4D) are followed by at least 16 readable floats.
#pragma once

#include <cstdint>

#include "kernels/cpu/layout.h"

namespace krait::cpu {

// Rows quantised to int8 in blocks of 32 along k, the last block padded with zeros:
// x[k] = scale[k / 32] * q[k].
struct QuantRows {
  int8_t* q = nullptr;      // [tokens, blocks * 32]
  float* scale = nullptr;   // [tokens, blocks]
  int32_t* sums = nullptr;  // [tokens, blocks, 2]: sum of q over each half of the block
  int64_t blocks = 0;
};

// Rows rounded to bf16, to nearest even. Zeros fill the last 16 of a row up, so that `stride` is at
// least the next multiple of 16.
struct RoundedRows {
  uint16_t* x = nullptr;  // [tokens, stride]
  int64_t stride = 0;
};

// out[t, r] (+)= sum_k W[r, k] x[t, k] (+ bias[r]) for the rows of a range of panels and a
// range of tokens.
struct Product {
  Packing packing = Packing::f32;
  const void* panels = nullptr;  // the whole matrix, in the layout of layout.h
  int64_t rows = 0, cols = 0;
  int64_t first_panel = 0, last_panel = 0;
  // The activations: `quant` for quantised packings; for bf16 `rounded`, where it is given; else x.
  const float* x = nullptr;  // [tokens, cols]
  int64_t x_stride = 0;
  QuantRows quant;
  RoundedRows rounded;
  int64_t first_token = 0, last_token = 0;
  const float* bias = nullptr;  // [rows] or null
  float* out = nullptr;
  int64_t out_stride = 0;
  bool accumulate = false;
};

// Channels [first, last) of one segment; first is a multiple of 16.
struct Conv {
  const float* taps = nullptr;  // [d_conv, channels]
  const float* bias = nullptr;  // [channels] or null
  int64_t d_conv = 0, channels = 0;
  int64_t first = 0, last = 0;
  float* state = nullptr;  // [d_conv - 1, channels]
  const float* x = nullptr;
  float* out = nullptr;  // may be x
  int64_t x_stride = 0, out_stride = 0, tokens = 0;
};

inline constexpr int64_t kMaxConv = 64;  // longest convolution

// Channels [first, last) of one segment; first is a multiple of 16.
struct Scan {
  const float* a = nullptr;        // [d_state, d_inner]
  const float* d = nullptr;        // [d_inner]
  const float* dt_bias = nullptr;  // [d_inner]
  int64_t d_state = 0, d_inner = 0;
  int64_t first = 0, last = 0;
  float* state = nullptr;  // [d_state, d_inner]
  const float* x = nullptr;
  const float* dt = nullptr;
  const float* b = nullptr;
  const float* c = nullptr;
  const float* z = nullptr;
  float* out = nullptr;  // may be x, dt or z
  int64_t x_stride = 0, dt_stride = 0, b_stride = 0, c_stride = 0, z_stride = 0, out_stride = 0;
  int64_t tokens = 0;
};

// Heads [first, last) of one segment.
struct SsdScan {
  const float* a = nullptr;        // [n_heads]
  const float* d = nullptr;        // [n_heads * head_dim]
  const float* dt_bias = nullptr;  // [n_heads]
  float dt_min = 0, dt_max = 0;
  int64_t head_dim = 0, d_state = 0;
  int64_t heads_per_group = 0;
  int64_t first = 0, last = 0;
  float* state = nullptr;  // [n_heads, d_state, head_dim]
  const float* x = nullptr;
  const float* dt = nullptr;
  const float* b = nullptr;
  const float* c = nullptr;
  float* out = nullptr;  // may be x
  int64_t x_stride = 0, dt_stride = 0, b_stride = 0, c_stride = 0, out_stride = 0;
  int64_t tokens = 0;
};

// Channels [first, last) of one segment; first is a multiple of 16.
struct S4dScan {
  const float* decay = nullptr;  // [2 * pairs, d_inner]: real parts, then imaginary parts
  const float* c = nullptr;      // [2 * pairs, d_inner]: the weight of each state in the output
  const float* d = nullptr;      // [d_inner]
  int64_t pairs = 0, d_inner = 0;
  int64_t first = 0, last = 0;
  float* state = nullptr;  // [2 * pairs, d_inner], as decay
  const float* x = nullptr;
  const float* z = nullptr;
  float* out = nullptr;  // may be x or z
  int64_t x_stride = 0, z_stride = 0, out_stride = 0;
  int64_t tokens = 0;
};

struct Kernels {
  const char* isa;
  // The three kinds of product, by the activations they read; `product` picks one.
  void (*product_float)(const Product&) noexcept;
  void (*product_rounded)(const Product&) noexcept;
  void (*product_quantised)(const Product&) noexcept;
  // One row of `cols` floats into row `token` of `out`.
  void (*quantize_row)(const float* x, int64_t cols, int64_t token, const QuantRows& out) noexcept;
  void (*round_row)(const float* x, int64_t cols, int64_t token, const RoundedRows& out) noexcept;
  // `weight` may be null, `out` may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t cols,
                   float* out) noexcept;
  void (*causal_conv)(const Conv&) noexcept;
  void (*selective_scan)(const Scan&) noexcept;
  void (*ssd_scan)(const SsdScan&) noexcept;
  void (*s4d_scan)(const S4dScan&) noexcept;
  // out = x * silu(z); out may be x or z.
  void (*gate)(const float* x, const float* z, int64_t n, float* out) noexcept;
  // Lane functions on arrays, for the error tables of the tests.
  void (*exp)(const float* x, int64_t n, float* out) noexcept;
  void (*softplus)(const float* x, int64_t n, float* out) noexcept;
  void (*silu)(const float* x, int64_t n, float* out) noexcept;
  // The most that this instruction set can do, on registers only: each iteration is kPeakSteps
  // times 16 multiply-adds of floats, kPeakSteps times 32 of bf16, and kPeakSteps times 64 of bytes
  // with sums of 32 bits. `sink` is 16 floats; it keeps the compiler from leaving the work out.
  void (*peak_float)(int64_t iterations, float* sink) noexcept;
  void (*peak_bf16)(int64_t iterations, float* sink) noexcept;  // null: computed as floats
  void (*peak_int8)(int64_t iterations, float* sink) noexcept;

  // Always inlined: compiled with the flags of each instruction set, one copy must not serve
  // another.
  [[gnu::always_inline]] void product(const Product& a) const noexcept {
    if (is_quantised(a.packing)) return product_quantised(a);
    a.rounded.x ? product_rounded(a) : product_float(a);
  }
};

inline constexpr int kPeakSteps = 24;
inline constexpr int64_t kPeakFloatMultiplyAdds = kPeakSteps * 16;
inline constexpr int64_t kPeakBf16MultiplyAdds = kPeakSteps * 32;
inline constexpr int64_t kPeakInt8MultiplyAdds = kPeakSteps * 64;

const Kernels& kernels_scalar() noexcept;
const Kernels& kernels_avx2() noexcept;    // needs AVX2, FMA, F16C
const Kernels& kernels_avx512() noexcept;  // needs those and AVX-512 F, BW, DQ, VL
// Extensions: the table of the one before, with faster products.
const Kernels& kernels_avx512vnni() noexcept;  // needs those and AVX-512 VNNI
const Kernels& kernels_avx512bf16() noexcept;  // needs those and AVX-512 BF16

}  // namespace krait::cpu
