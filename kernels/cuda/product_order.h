// The order in which a product's terms are added: the same for every kernel that computes one, so
// that a row has the same bits in a batch of one and of a thousand, in decode and in prefill.
//
//   1. k is cut into chunks of 64 columns, the chunks of a row into slices, as even as they go:
//      slice s of S holds chunks [s n / S, (s + 1) n / S) of n.
//   2. Inside a slice mma_bf16 adds step after step (16 columns), part after part of the weights,
//      into one float; where weights have scales, the sum of each scaled block begins at 0 and is
//      added with multiply_add(scale, sum, slice).
//   3. The slices are added in order, beginning at 0.
//   4. The columns of one token - its activations' parts - are added in pairs: 0 + 1, 2 + 3, then
//      these two. Then the bias is added, then the result to what `out` held.
//
// A token has 1, 2 or 4 columns for 1, 2 or 3 parts (the fourth is zero), side by side.
#pragma once

#include "kernels/cuda/layout.h"

namespace krait::cuda {

inline constexpr int kChunk = 64;

constexpr int columns_per_token(int parts) { return parts == 3 ? 4 : parts; }

// Slices of a row: enough for the loads in flight that memory wants, even ones where that goes.
constexpr int slices_of(int64_t rows, int64_t cols) {
  const int chunks = static_cast<int>((cols + kChunk - 1) / kChunk);
  const int most = rows <= 1024 ? 12 : rows <= 4096 ? 8 : 4;
  if (chunks <= most) return chunks;
  for (int slices = most; slices > most / 2; --slices)
    if (chunks % slices == 0) return slices;
  return most;
}

constexpr int slice_begin(int slice, int slices, int chunks) {
  return slice * chunks / slices;  // at most 2^4 * 2^25
}

}  // namespace krait::cuda
