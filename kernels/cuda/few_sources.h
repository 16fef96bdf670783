// What a product for few tokens multiplies: activations that a block takes from memory, gates,
// normalises, and keeps in shared memory as the bf16 parts that mma_bf16 takes (Sources of
// FewProduct). The same bits as the separate operations.
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

// Parts in shared memory: column token * Parts + part, two values of k to a word, zeros up to a
// whole chunk. The lanes of a warp read four words of eight columns at once: the stride spreads
// them over the banks.
struct Columns {
  uint32_t* words = nullptr;
  int stride = 0;  // words from column to column
};
constexpr int column_stride(int64_t cols) noexcept {
  return static_cast<int>((cols + kChunk - 1) / kChunk * (kChunk / 2) + 4);
}
constexpr size_t columns_bytes(int64_t cols, int tokens, int parts) noexcept {
  return size_t{4} * column_stride(cols) * tokens * parts;
}

template <int Parts>
KRAIT_DEVICE void put_pair(const Columns& columns, int token, int64_t pair, Float2 v) {
  KRAIT_UNROLL
  for (int part = 0; part < Parts; ++part)
    columns.words[(token * Parts + part) * columns.stride + pair] = take_part(v);
}

// Puts get(token, k) for all k < cols. `pair(token, k)` gives k and k + 1 at once.
template <int Parts, class Pair, class Get>
KRAIT_DEVICE void put_columns(const Columns& columns, int tokens, int64_t cols, Pair&& pair,
                              Get&& get) {
  const int64_t pairs = (cols + kChunk - 1) / kChunk * (kChunk / 2);
  for (int token = 0; token < tokens; ++token) {
    KRAIT_UNROLL_4
    for (int64_t i = thread_index(); i < pairs; i += thread_count()) {
      const int64_t k = 2 * i;
      Float2 v{0.0f, 0.0f};
      if (k + 1 < cols)
        v = pair(token, k);
      else if (k < cols)
        v.x = get(token, k);
      put_pair<Parts>(columns, token, i, v);
    }
  }
}

// Activations as they lie in memory.
struct PlainSource {
  Rows x;
  bool pairs_aligned = false;  // both the rows and their stride are even numbers of floats
  int32_t cols = 0;

  static constexpr size_t shared_bytes(int) noexcept { return 0; }

  template <int Parts>
  KRAIT_DEVICE int stage(const Columns& columns, int tokens, std::byte*) const {
    put_columns<Parts>(
        columns, tokens, cols,
        [&](int token, int64_t k) {
          const float* at = x.data + token * x.stride + k;
          return pairs_aligned ? load2(at) : Float2{at[0], at[1]};
        },
        [&](int token, int64_t k) { return x.data[token * x.stride + k]; });
    return 0;
  }
};

inline PlainSource plain_source(Rows x, int32_t cols) noexcept {
  return {x, reinterpret_cast<uintptr_t>(x.data) % 8 == 0 && x.stride % 2 == 0, cols};
}

// The factors that normalise `rows` rows of `cols` values, in the order of norm.h: get(row, i)
// gives columns i to i + 3, zeros beyond the end. `sums` holds rows * (kNormWarps + 1) floats; the
// factors are its last. By the whole block, which is synchronised.
template <class Get>
KRAIT_DEVICE const float* norm_factors(int rows, int64_t cols, float eps, float* sums, Get&& get) {
  const int warps = thread_count() / kWarp, lane = lane_index();
  for (int task = warp_index(); task < rows * kNormWarps; task += warps) {
    Float4 squares{0.0f, 0.0f, 0.0f, 0.0f};
    KRAIT_UNROLL_4
    for (int64_t i = 4 * (task % kNormWarps * kWarp + lane); i < cols; i += 4 * kNormThreads)
      add_squares(squares, get(task / kNormWarps, i));
    const float sum = warp_squares(squares);
    if (lane == 0) sums[task] = sum;
  }
  sync_block();
  float* factors = sums + rows * kNormWarps;
  for (int row = thread_index(); row < rows; row += thread_count()) {
    float sum = sums[row * kNormWarps];
    KRAIT_UNROLL
    for (int w = 1; w < kNormWarps; ++w) sum += sums[row * kNormWarps + w];
    factors[row] = norm_scale(sum, cols, eps);
  }
  sync_block();
  return factors;
}
constexpr size_t norm_bytes(int rows) noexcept { return size_t{4} * rows * (kNormWarps + 1); }

// x, or x * silu(z), RMS-normalised in `groups` equal groups of columns, or not at all (groups 0).
struct NormedSource {
  Rows x;
  Rows z;                       // no data: no gate
  bool gate_first = false;      // gate, then norm; else norm, then gate
  const float* norm = nullptr;  // weight, or null
  int32_t groups = 0;
  float eps = 0;
  int32_t cols = 0;

  size_t shared_bytes(int tokens) const noexcept { return norm_bytes(tokens * groups); }

  KRAIT_DEVICE float gate_of(int token, int64_t k) const {
    return silu(z.data[token * z.stride + k]);
  }
  KRAIT_DEVICE float before_norm(int token, int64_t k) const {
    const float v = x.data[token * x.stride + k];
    return z.data && gate_first ? v * gate_of(token, k) : v;
  }

  KRAIT_DEVICE Float4 four_before_norm(int row, int64_t i) const {
    const int64_t of_group = cols / groups, k = row % groups * of_group + i;
    const int token = row / groups;
    const int64_t left = of_group - i;
    Float4 v = load_columns(x.data + token * x.stride + k, left);
    if (z.data && gate_first) {
      const Float4 g = load_columns(z.data + token * z.stride + k, left);
      v = {v.x * silu(g.x), v.y * silu(g.y), v.z * silu(g.z), v.w * silu(g.w)};
    }
    return v;
  }

  template <int Parts>
  KRAIT_DEVICE int stage(const Columns& columns, int tokens, std::byte* shared) const {
    const float* factors = nullptr;
    const int64_t of_group = groups > 0 ? cols / groups : cols;
    if (groups > 0)
      factors = norm_factors(tokens * groups, of_group, eps, reinterpret_cast<float*>(shared),
                             [&](int row, int64_t i) { return four_before_norm(row, i); });
    const auto value = [&](int token, int64_t k) {
      float v = before_norm(token, k);
      if (factors) {
        v *= factors[groups == 1 ? token : token * groups + static_cast<int>(k / of_group)];
        if (norm) v *= norm[k];
      }
      return z.data && !gate_first ? v * gate_of(token, k) : v;
    };
    put_columns<Parts>(
        columns, tokens, cols,
        [&](int token, int64_t k) {
          return Float2{value(token, k), value(token, k + 1)};
        },
        value);
    return 0;
  }
};

// The low-rank dt of dt_b_c, normalised where the model says so (Falcon-Mamba); the sink gets B and
// C behind it, [token][B, C], treated alike.
struct DtSource {
  Rows dt_b_c;
  int32_t dt_rank = 0, d_state = 0;
  float eps = -1;  // negative: no norms

  size_t shared_bytes(int tokens) const noexcept {
    return size_t{8} * tokens * d_state + 3 * norm_bytes(tokens);
  }

  KRAIT_DEVICE const float* factors_of(int tokens, int begin, int cols, float* sums) const {
    return norm_factors(tokens, cols, eps, sums, [&](int token, int64_t i) {
      return load_columns(dt_b_c.data + token * dt_b_c.stride + begin + i, cols - i);
    });
  }

  template <int Parts>
  KRAIT_DEVICE const float* stage(const Columns& columns, int tokens, std::byte* shared) const {
    auto* b_c = reinterpret_cast<float*>(shared);
    const float *of_dt = nullptr, *of_b = nullptr, *of_c = nullptr;
    if (eps >= 0) {
      const int room = tokens * (kNormWarps + 1);
      float* sums = b_c + 2 * tokens * d_state;
      of_dt = factors_of(tokens, 0, dt_rank, sums);
      of_b = factors_of(tokens, dt_rank, d_state, sums + room);
      of_c = factors_of(tokens, dt_rank + d_state, d_state, sums + 2 * room);
    }
    for (int token = 0; token < tokens; ++token) {
      for (int k = thread_index(); k < 2 * d_state; k += thread_count()) {
        const float v = dt_b_c.data[token * dt_b_c.stride + dt_rank + k];
        const float* factors = k < d_state ? of_b : of_c;
        b_c[token * 2 * d_state + k] = factors ? v * factors[token] : v;
      }
    }
    const auto value = [&](int token, int64_t k) {
      const float v = dt_b_c.data[token * dt_b_c.stride + k];
      return of_dt ? v * of_dt[token] : v;
    };
    put_columns<Parts>(
        columns, tokens, dt_rank,
        [&](int token, int64_t k) {
          return Float2{value(token, k), value(token, k + 1)};
        },
        value);
    return b_c;
  }
};

}  // namespace krait::cuda
