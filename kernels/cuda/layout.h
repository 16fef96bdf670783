// How weight matrices lie in the memory of the GPU: in the order in which the lanes of a warp hold
// the first operand of mma.m16n8k16 (device.h), so that one 16-byte load per lane is a whole tile,
// 512 contiguous bytes.
//
// A matrix [rows, cols] is padded with zeros to row tiles of 16 rows and to whole k tiles. Row
// tiles follow one another; inside one, k tiles do. In a step of 16 columns lane l holds eight
// weights, with g = l / 4 and i = l % 4 * 2:
//   v0, v1 = [g][i, i+1]   v2, v3 = [g+8][i, i+1]   v4, v5 = [g][i+8, i+9]   v6, v7 = [g+8][i+8,
//   i+9]
//
//   f16, bf16    tile of 16 columns: v0..v7
//   f32          tile of 16 columns, two times 512 bytes: v0..v3 of all lanes, then v4..v7
//   q8_0, q6_k   tile of 32 columns: v0..v7 of the first step, then of the second, a byte each:
//                the value + 128
//   q4_0, q4_k   tile of 64 columns: a 32-bit word for each of four steps; v0, v2, v4, v6 in the
//                nibbles 0 to 3, v1, v3, v5, v7 in the nibbles 4 to 7: the level, 0 to 15
//
// Scales are apart, in `scales`, row tile by row tile. Two rows r and r + 8 of a tile lie side by
// side, so that a lane finds both of its rows at once ("pair g" below):
//   q8_0, q4_0   per 32 columns: pair g of f16 d
//   q4_k         per 32 columns: pair g of {u8 scale, u8 min};
//                then, after those of the whole row tile, per 256 columns: pair g of {f16 d, f16
//                dmin}
//   q6_k         per 16 columns: pair g of i8 scale; then per 256 columns: pair g of f16 d
// Weight = d * scale * (level - 8, or the value) - dmin * min.
#pragma once

#include <cstddef>
#include <cstdint>

namespace krait::cuda {

enum class Format : uint8_t { f32, f16, bf16, q8_0, q4_0, q4_k, q6_k };

inline constexpr int kTileRows = 16;
inline constexpr int kStep = 16;        // columns of one mma
inline constexpr int kTileBytes = 512;  // one load of a warp

constexpr int tile_cols(Format format) noexcept {
  switch (format) {
    case Format::q8_0:
    case Format::q6_k: return 32;
    case Format::q4_0:
    case Format::q4_k: return 64;
    default: return 16;
  }
}
constexpr int loads_per_tile(Format format) noexcept { return format == Format::f32 ? 2 : 1; }

// The place of a matrix's parts, in bytes. Everything is 16-byte aligned.
struct Layout {
  int64_t row_tiles = 0;
  int64_t k_tiles = 0;
  int64_t row_tile_bytes = 0;  // of weights
  int64_t scale_bytes = 0;     // of a row tile's small scales
  int64_t super_bytes = 0;     // of the scales per 256 columns that follow them
  int64_t weight_bytes() const noexcept { return row_tiles * row_tile_bytes; }
  // From the scales of one row tile to those of the next.
  constexpr int64_t scales_stride() const noexcept { return scale_bytes + super_bytes; }
  int64_t all_scale_bytes() const noexcept { return row_tiles * scales_stride(); }
};

constexpr Layout layout_of(Format format, int64_t rows, int64_t cols) noexcept {
  const auto up = [](int64_t n, int64_t unit) { return (n + unit - 1) / unit; };
  Layout l;
  l.row_tiles = up(rows, kTileRows);
  l.k_tiles = up(cols, tile_cols(format));
  l.row_tile_bytes = l.k_tiles * loads_per_tile(format) * kTileBytes;
  const int64_t padded = l.k_tiles * tile_cols(format), supers = up(padded, 256);
  switch (format) {
    case Format::q8_0:
    case Format::q4_0: l.scale_bytes = padded / 32 * 32; break;
    case Format::q4_k:
      l.scale_bytes = padded / 32 * 32;
      l.super_bytes = supers * 64;
      break;
    case Format::q6_k:
      l.scale_bytes = padded / 16 * 16;
      l.super_bytes = supers * 32;
      break;
    default: break;
  }
  return l;
}

}  // namespace krait::cuda
