// How weight matrices lie in memory for the CPU kernels.
//
// Rows (output features) are grouped in panels of 32; the last panel is padded with zero rows. In a
// panel the 32 rows are interleaved along k, so that a kernel reads memory straight through and
// every output is one chain of sums in the order of k, whatever the number of tokens or threads.
//
//   f32   [k][32] float, row order
//   f16   [k][32] half, row order
//   bf16  [k / 2][32][2]: row r, k = 2 j + i at (j * 32 + r) * 2 + i, for dot products of pairs;
//         widening is a shift and a mask. An odd last k is followed by zeros
//
// The block types of ggml, in blocks of 32 k (the last padded with zeros), each 64 bytes of scales
// and then integers. Levels are unsigned, as the dot-product instructions want; the kernels take
// the offset times sum(x) off again.
//
//   q8_0  [32] half scales | [8][32][4] bytes: row r, k = 4 j + i at (j * 32 + r) * 4 + i, q + 128
//   q4_0  [32] half scales | [8][16][4] bytes: rows r and r + 16 are the low and the high nibble of
//         (j * 16 + r) * 4 + i, q + 8
//   q4_k  [32] scales, [32] mins (bytes) | nibbles as q4_0, no offset
//   q6_k  [2][32] signed scales, of 16 k each | [4] of { [16][4] bytes: the two high bits of q +
//   32,
//         m, r, i holds from the lowest bits on k = 8 m + i of rows r and r + 16, then k = 8 m + 4
//         + i of both; [2][16][4] low nibbles as q4_0 }
//
// The k types have a header before every eighth block (a super-block of 256 k, the last as short as
// the matrix): [32] half d, and for q4_k [32] half dmin, which the small scales multiply.
#pragma once

#include <cstdint>

namespace krait::cpu {

inline constexpr int64_t kPanelRows = 32;
inline constexpr int64_t kQuantBlock = 32;  // k that activations share a scale over
inline constexpr int64_t kSuperBlocks = 8;  // blocks per super-block
inline constexpr int64_t kScaleBytes = 64;  // of a block

enum class Packing : uint8_t { f32, f16, bf16, q8_0, q4_0, q4_k, q6_k };

// Always inlined: compiled with the flags of each instruction set, one copy must not serve another.
[[gnu::always_inline]] constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

[[gnu::always_inline]] constexpr bool is_quantised(Packing packing) {
  return packing >= Packing::q8_0;
}

// Bytes of the parts of a quantised panel.
struct QuantLayout {
  int64_t header;  // per super-block
  int64_t block;   // per block, scales included
};
[[gnu::always_inline]] constexpr QuantLayout quant_layout(Packing packing) {
  switch (packing) {
    case Packing::q8_0: return {0, kScaleBytes + kPanelRows * kQuantBlock};
    case Packing::q4_0: return {0, kScaleBytes + kPanelRows * kQuantBlock / 2};
    case Packing::q4_k: return {kPanelRows * 4, kScaleBytes + kPanelRows * kQuantBlock / 2};
    case Packing::q6_k: return {kPanelRows * 2, kScaleBytes + kPanelRows * kQuantBlock * 3 / 4};
    default: return {0, 0};
  }
}
// Where a block of a panel begins, and the header of its super-block.
[[gnu::always_inline]] constexpr int64_t block_offset(QuantLayout layout, int64_t block) {
  return (block / kSuperBlocks + 1) * layout.header + block * layout.block;
}
[[gnu::always_inline]] constexpr int64_t header_offset(QuantLayout layout, int64_t block) {
  return block / kSuperBlocks * (layout.header + kSuperBlocks * layout.block);
}

[[gnu::always_inline]] constexpr int64_t panel_bytes(Packing packing, int64_t cols) {
  if (packing == Packing::f32) return cols * kPanelRows * 4;
  if (packing == Packing::f16) return cols * kPanelRows * 2;
  if (packing == Packing::bf16) return ceil_div(cols, 2) * kPanelRows * 4;
  const QuantLayout layout = quant_layout(packing);
  const int64_t blocks = ceil_div(cols, kQuantBlock);
  return ceil_div(blocks, kSuperBlocks) * layout.header + blocks * layout.block;
}

}  // namespace krait::cpu
