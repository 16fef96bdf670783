// How weight matrices lie in memory for the CPU kernels.
//
// Rows (output features) are grouped in panels of 32; the last panel is padded with zero rows. In a
// panel the 32 rows are interleaved along k, so that a kernel reads memory straight through and
// every output is one chain of sums in the order of k, whatever the number of tokens or threads.
//
//   f32   [k][32] float, row order
//   f16   [k][32] half, row order
//   bf16  [k][32], row i at 2 i and row i + 16 at 2 i + 1: widening is a shift and a mask
//   q8_0  per block of 32 k (the last padded with zeros): [32] half scales, row order, then
//         [8][32][4] bytes: row r, k = 4 j + i at ((j * 32) + r) * 4 + i, stored as q + 128
//         (unsigned, as the dot-product instructions want; the kernels take 128 sum(x) off again)
#pragma once

#include <cstdint>

namespace krait::cpu {

inline constexpr int64_t kPanelRows = 32;
inline constexpr int64_t kQuantBlock = 32;  // weights that share a scale
inline constexpr int64_t kQuantPanelBytes = kPanelRows * (2 + kQuantBlock);  // per block of k

enum class Packing : uint8_t { f32, f16, bf16, q8_0 };

// Always inlined: compiled with the flags of each instruction set, one copy must not serve another.
[[gnu::always_inline]] constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

[[gnu::always_inline]] constexpr int64_t panel_bytes(Packing packing, int64_t cols) {
  switch (packing) {
    case Packing::f32: return cols * kPanelRows * 4;
    case Packing::f16:
    case Packing::bf16: return cols * kPanelRows * 2;
    case Packing::q8_0: return ceil_div(cols, kQuantBlock) * kQuantPanelBytes;
  }
  return 0;
}

}  // namespace krait::cpu
