// The operations of the CUDA backend: plain prototypes over device memory. All are asynchronous on
// `stream`, allocate nothing and give each row a result that does not depend on the other rows: the
// same bits for any batch, any chunks of a prefill, one token at a time. Formulas as in
// krait/backend.h. Rows begin at any float and have any stride: what loads several at once looks
// first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/layout.h"
#include "kernels/cuda/stream.h"

namespace krait::cuda {

// A window of rows, row r at data + r * stride.
struct Rows {
  float* data = nullptr;
  int64_t stride = 0;
};

// A run of tokens, at least one, of a sequence in a packed step; in device memory.
struct Segment {
  int32_t slot = 0;
  int32_t begin = 0;
  int32_t length = 0;
};
struct Segments {
  const Segment* list = nullptr;
  int32_t count = 0;
  int32_t tokens = 0;  // of all
};

struct States {
  float* data = nullptr;  // of the plane, in slot 0
  int64_t slot_stride = 0;
};

struct Weights {
  const std::byte* tiles = nullptr;   // see layout.h
  const std::byte* scales = nullptr;  // null for plain formats
  Format format = Format::f32;
  int32_t rows = 0;
  int32_t cols = 0;
};

// ---- product.cu: out[t] (+)= W x[t] (+ bias) ----------------------------------------------------
// Activations are split into bf16 parts that the tensor cores multiply one by one: 1 part (rounded,
// `--act bf16`), 2 (16 bits of mantissa) or 3 (all 24; f32 weights). `scratch`, of
// product_scratch() bytes, holds the parts where there are many tokens.
struct Product {
  Weights w;
  const float* bias = nullptr;
  Rows x;
  Rows out;
  int32_t tokens = 0;
  bool accumulate = false;
  bool round = false;  // --act bf16; only for bf16 weights
  std::byte* scratch = nullptr;
};
int64_t product_scratch(const Weights& w, int32_t tokens, bool round) noexcept;
void product(Stream stream, const Product& p) noexcept;

// ---- rows.cu ------------------------------------------------------------------------------------
// out[t] = row ids[t] of the table, exactly as stored.
void embed(Stream stream, const Weights& table, const int32_t* ids, int32_t tokens,
           Rows out) noexcept;
// Sizes as Backend::rms_norm; weight may be null.
void rms_norm(Stream stream, Rows x, const float* weight, int32_t groups, float eps, int32_t tokens,
              int32_t cols, Rows out) noexcept;
void gate(Stream stream, Rows x, Rows z, int32_t tokens, int32_t cols, Rows out) noexcept;

// ---- conv.cu ------------------------------------------------------------------------------------
struct Conv {
  const float* taps = nullptr;  // [d_conv, channels]
  const float* bias = nullptr;  // or null
  int32_t d_conv = 0;           // 1 to 64
  int32_t channels = 0;
  Segments segments;
  States state;  // [d_conv-1, channels]
  Rows x, out;   // may be the same rows
};
// `scratch`, of conv_scratch() bytes, is needed where a segment has more than one token.
int64_t conv_scratch(int32_t d_conv, int32_t channels, int32_t tokens) noexcept;
void causal_conv(Stream stream, const Conv& conv, std::byte* scratch) noexcept;

// ---- scan.cu, ssd.cu, s4d.cu --------------------------------------------------------------------
struct Scan {
  const float* a = nullptr;  // [d_state, d_inner]
  const float* d = nullptr;
  const float* dt_bias = nullptr;
  int32_t d_state = 0;
  int32_t d_inner = 0;
  Segments segments;
  States state;              // [d_state, d_inner]
  Rows x, dt, b, c, z, out;  // out may be the same rows as x, dt or z
};
void selective_scan(Stream stream, const Scan& scan) noexcept;

struct Ssd {
  const float* a = nullptr;        // [n_heads]
  const float* d = nullptr;        // [d_inner]
  const float* dt_bias = nullptr;  // [n_heads]
  float dt_min = 0, dt_max = 0;
  int32_t n_heads = 0, n_groups = 0, d_state = 0, head_dim = 0;
  Segments segments;
  States state;           // [n_heads * d_state, head_dim]
  Rows x, dt, b, c, out;  // out may be the same rows as x
};
void ssd_scan(Stream stream, const Ssd& ssd) noexcept;

struct S4d {
  const float* decay = nullptr;  // [2 * pairs, d_inner]
  const float* c = nullptr;      // [2 * pairs, d_inner]
  const float* d = nullptr;
  int32_t pairs = 0;
  int32_t d_inner = 0;
  Segments segments;
  States state;    // [2 * pairs, d_inner]
  Rows x, z, out;  // out may be the same rows as x or z
};
void s4d_scan(Stream stream, const S4d& s4d) noexcept;

}  // namespace krait::cuda
