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
// whole chunk. Of the 32 words of a chunk a lane reads four at a time: with i = lane % 4 the pairs
// i and i + 4 of a step, then those of the next step. The stride spreads the columns over the
// banks.
struct Columns {
  uint32_t* words = nullptr;
  int stride = 0;  // words from column to column
};
constexpr int column_stride(int64_t cols) noexcept {
  return static_cast<int>((cols + kChunk - 1) / kChunk * (kChunk / 2) + 16);
}
constexpr size_t columns_bytes(int64_t cols, int tokens, int parts) noexcept {
  return size_t{4} * column_stride(cols) * tokens * parts;
}
KRAIT_DEVICE int word_of(int pair) {
  const int step = pair / 8 % 4, in_step = pair % 8;
  return pair / 32 * 32 + step / 2 * 16 + in_step % 4 * 4 + step % 2 * 2 + in_step / 4;
}

// Four values from `k` = 4 `quad` on.
template <int Parts>
KRAIT_DEVICE void put_four(const Columns& columns, int token, int quad, const Float4& v) {
  Float2 low{v.x, v.y}, high{v.z, v.w};
  uint32_t* at = columns.words + token * Parts * columns.stride + word_of(2 * quad);
  KRAIT_UNROLL
  for (int part = 0; part < Parts; ++part) {
    at[part * columns.stride] = take_part(low);
    at[part * columns.stride + 4] = take_part(high);
  }
}

// Puts get(token, k) for all k < cols; four(token, k) gives k to k + 3 at once.
template <int Parts, class Four, class Get>
KRAIT_DEVICE void put_columns(const Columns& columns, int tokens, int cols, Four&& four,
                              Get&& get) {
  const int quads = (cols + kChunk - 1) / kChunk * (kChunk / 4);
  for (int token = 0; token < tokens; ++token) {
    KRAIT_UNROLL_4
    for (int quad = thread_index(); quad < quads; quad += thread_count()) {
      const int k = 4 * quad;
      Float4 v{0.0f, 0.0f, 0.0f, 0.0f};
      if (k + 3 < cols) {
        v = four(token, k);
      } else {
        if (k < cols) v.x = get(token, k);
        if (k + 1 < cols) v.y = get(token, k + 1);
        if (k + 2 < cols) v.z = get(token, k + 2);
      }
      put_four<Parts>(columns, token, quad, v);
    }
  }
}

// Rows of which four floats can be loaded at once, if they lie so.
struct InputRows {
  Rows rows;
  bool aligned = false;

  KRAIT_DEVICE const float* row(int token) const { return rows.data + token * rows.stride; }
  KRAIT_DEVICE float get(int token, int k) const { return row(token)[k]; }
  KRAIT_DEVICE Float4 four(int token, int k) const {
    const float* at = row(token) + k;
    return aligned ? load4(at) : Float4{at[0], at[1], at[2], at[3]};
  }
  // Columns k to k + 3, zeros from `cols` on.
  KRAIT_DEVICE Float4 four_below(int token, int k, int cols) const {
    return load_columns(row(token) + k, cols - k);
  }
};
inline InputRows input_rows(Rows rows) noexcept {
  return {rows, reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 && rows.stride % 4 == 0};
}

// Activations as they lie in memory.
struct PlainSource {
  InputRows x;
  int32_t cols = 0;

  static constexpr size_t shared_bytes(int) noexcept { return 0; }

  template <int Parts>
  KRAIT_DEVICE int stage(const Columns& columns, int tokens, std::byte*) const {
    put_columns<Parts>(
        columns, tokens, cols, [&](int token, int k) { return x.four(token, k); },
        [&](int token, int k) { return x.get(token, k); });
    return 0;
  }
};

inline PlainSource plain_source(Rows x, int32_t cols) noexcept { return {input_rows(x), cols}; }

// The factors that normalise `rows` rows of `cols` values, in the order of norm.h: get(row, i)
// gives columns i to i + 3, zeros beyond the end. `sums` holds rows * (kNormWarps + 1) floats; the
// factors are its last. By the whole block, which is synchronised.
template <class Get>
KRAIT_DEVICE const float* norm_factors(int rows, int cols, float eps, float* sums, Get&& get) {
  const int warps = thread_count() / kWarp, lane = lane_index();
  for (int task = warp_index(); task < rows * kNormWarps; task += warps) {
    Float4 squares{0.0f, 0.0f, 0.0f, 0.0f};
    KRAIT_UNROLL_4
    for (int i = 4 * (task % kNormWarps * kWarp + lane); i < cols; i += 4 * kNormThreads)
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

// x, RMS-normalised.
struct NormedSource {
  InputRows x;
  const float* norm = nullptr;  // weight
  float eps = 0;
  int32_t cols = 0;

  static constexpr size_t shared_bytes(int tokens) noexcept { return norm_bytes(tokens); }

  template <int Parts>
  KRAIT_DEVICE int stage(const Columns& columns, int tokens, std::byte* shared) const {
    const float* factors =
        norm_factors(tokens, cols, eps, reinterpret_cast<float*>(shared),
                     [&](int token, int k) { return x.four_below(token, k, cols); });
    put_columns<Parts>(
        columns, tokens, cols,
        [&](int token, int k) { return normalise(x.four(token, k), factors[token], norm + k, 4); },
        [&](int token, int k) { return x.get(token, k) * factors[token] * norm[k]; });
    return 0;
  }
};

// Mamba-2's y: gated by silu(z) and RMS-normalised in groups, in either order, or only gated.
struct GatedSource {
  Rows y, z;
  bool gate_first = false;
  const float* norm = nullptr;  // weight
  int32_t groups = 0;           // 0: no norm
  float eps = 0;
  int32_t cols = 0;

  size_t shared_bytes(int tokens) const noexcept { return norm_bytes(tokens * groups); }

  KRAIT_DEVICE float gate_of(int token, int k) const { return silu(z.data[token * z.stride + k]); }
  KRAIT_DEVICE float before_norm(int token, int k) const {
    const float v = y.data[token * y.stride + k];
    return gate_first ? v * gate_of(token, k) : v;
  }

  template <int Parts>
  KRAIT_DEVICE int stage(const Columns& columns, int tokens, std::byte* shared) const {
    const float* factors = nullptr;
    const int of_group = groups > 0 ? cols / groups : cols;
    if (groups > 0)
      factors = norm_factors(
          tokens * groups, of_group, eps, reinterpret_cast<float*>(shared), [&](int row, int i) {
            const int token = row / groups, k = row % groups * of_group + i, left = of_group - i;
            return Float4{before_norm(token, k), left > 1 ? before_norm(token, k + 1) : 0.0f,
                          left > 2 ? before_norm(token, k + 2) : 0.0f,
                          left > 3 ? before_norm(token, k + 3) : 0.0f};
          });
    const auto get = [&](int token, int k) {
      float v = before_norm(token, k);
      if (factors) v = v * factors[groups == 1 ? token : token * groups + k / of_group] * norm[k];
      return gate_first ? v : v * gate_of(token, k);
    };
    put_columns<Parts>(
        columns, tokens, cols,
        [&](int token, int k) {
          return Float4{get(token, k), get(token, k + 1), get(token, k + 2), get(token, k + 3)};
        },
        get);
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
    return norm_factors(tokens, cols, eps, sums, [&](int token, int i) {
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
    const auto get = [&](int token, int k) {
      const float v = dt_b_c.data[token * dt_b_c.stride + k];
      return of_dt ? v * of_dt[token] : v;
    };
    put_columns<Parts>(
        columns, tokens, dt_rank,
        [&](int token, int k) {
          return Float4{get(token, k), get(token, k + 1), get(token, k + 2), get(token, k + 3)};
        },
        get);
    return b_c;
  }
};

}  // namespace krait::cuda
