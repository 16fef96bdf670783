// Activations that a block gates, normalises and keeps in shared memory while it multiplies them
// (a Source of FewProduct). The same bits as the separate operations: norm.h's order of sums.
#pragma once

#include "kernels/cuda/norm.h"
#include "kernels/cuda/product_few.h"

namespace krait::cuda {

// What becomes of rows before a product: x, or x * silu(z); in `groups` equal groups of columns
// that are RMS-normalised, or not at all (groups 0).
struct InputRows {
  Rows x;
  Rows z;                       // no data: no gate
  bool gate_first = false;      // gate, then norm; else norm, then gate
  const float* norm = nullptr;  // weight, or null
  int32_t groups = 0;
  float eps = 0;
  int32_t cols = 0;
};

// Floats from token to token: an even number, shifted by some banks from a power of two.
constexpr int64_t staged_stride(int64_t cols) noexcept { return (cols + 15) / 16 * 16 + 8; }
constexpr int64_t staged_bytes(int64_t cols, int64_t groups, int64_t tokens) noexcept {
  return 4 * tokens * (staged_stride(cols) + groups * (kNormWarps + 1));
}

// RMS-normalises columns [begin, begin + groups * cols) of staged rows, group by group. `sums`
// holds tokens * groups * (kNormWarps + 1) floats. By the whole block; the rows are written, and
// may be read by all, before and after.
KRAIT_DEVICE void normalise_staged(float* rows, int64_t stride, int tokens, int64_t begin,
                                   int groups, int64_t cols, const float* weight, float eps,
                                   float* sums) {
  const int warps = thread_count() / kWarp, lane = lane_index();
  for (int task = warp_index(); task < tokens * groups * kNormWarps; task += warps) {
    const int virtual_warp = task % kNormWarps, row = task / kNormWarps;
    const float* from = rows + row / groups * stride + begin + row % groups * cols;
    Float4 squares{0.0f, 0.0f, 0.0f, 0.0f};
    for (int64_t i = 4 * (virtual_warp * kWarp + lane); i < cols; i += 4 * kNormThreads)
      add_squares(squares, load_columns(from + i, cols - i));
    const float sum = warp_squares(squares);
    if (lane == 0) sums[task] = sum;
  }
  sync_block();
  float* scales = sums + tokens * groups * kNormWarps;
  for (int row = thread_index(); row < tokens * groups; row += thread_count()) {
    float sum = sums[row * kNormWarps];
    for (int w = 1; w < kNormWarps; ++w) sum += sums[row * kNormWarps + w];
    scales[row] = norm_scale(sum, cols, eps);
  }
  sync_block();
  const int64_t all = groups * cols;
  for (int token = 0; token < tokens; ++token) {
    for (int64_t k = thread_index(); k < all; k += thread_count()) {
      float* at = rows + token * stride + begin + k;
      const float unit = *at * scales[token * groups + k / cols];
      *at = weight ? unit * weight[k] : unit;
    }
  }
  sync_block();
}

struct StagedReader {
  const float* rows;
  int64_t stride;

  KRAIT_DEVICE float value(int token, int64_t k) const { return rows[token * stride + k]; }
  KRAIT_DEVICE Float2 pair(int token, int64_t k) const { return load2(rows + token * stride + k); }
};

struct StagedSource {
  InputRows input;
  int32_t tokens = 0;

  KRAIT_DEVICE StagedReader open(std::byte* shared) const {
    auto* rows = reinterpret_cast<float*>(shared);
    const int64_t stride = staged_stride(input.cols);
    const bool gate = input.z.data != nullptr;
    for (int token = 0; token < tokens; ++token) {
      const float* x = input.x.data + token * input.x.stride;
      for (int64_t k = thread_index(); k < input.cols; k += thread_count())
        rows[token * stride + k] = gate && input.gate_first ? gated(x[k], token, k) : x[k];
    }
    sync_block();
    if (input.groups > 0)
      normalise_staged(rows, stride, tokens, 0, input.groups, input.cols / input.groups, input.norm,
                       input.eps, rows + tokens * stride);
    if (gate && !input.gate_first) {
      for (int token = 0; token < tokens; ++token) {
        for (int64_t k = thread_index(); k < input.cols; k += thread_count()) {
          float* at = rows + token * stride + k;
          *at = gated(*at, token, k);
        }
      }
      sync_block();
    }
    return {rows, stride};
  }

  KRAIT_DEVICE float gated(float x, int token, int64_t k) const {
    return x * silu(input.z.data[token * input.z.stride + k]);
  }
};

}  // namespace krait::cuda
