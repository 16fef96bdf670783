// The bf16 parts of many tokens' activations, made once for a product: in blocks of 64 columns and
// one chunk, 8 KiB, as mma_warpgroup() wants them (mma_wide.h). Column blocks follow one another;
// inside one, chunks do. Column = token * columns_per_token + part.
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_wide.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

inline constexpr int kBlockColumns = 64;
inline constexpr int kBlockBytes = kBlockColumns * kColumnBytes;

constexpr int64_t parts_bytes(int64_t tokens, int parts, int64_t cols) noexcept {
  return ceil_div(tokens * columns_per_token(parts), int64_t{kBlockColumns}) *
         ceil_div(cols, int64_t{kChunk}) * kBlockBytes;
}
// Where a column's part of a chunk lies; of the first column of a block: the block.
constexpr int64_t parts_offset(int64_t column, int64_t chunk, int64_t chunks) noexcept {
  return (column / kBlockColumns * chunks + chunk) * kBlockBytes +
         column % kBlockColumns * kColumnBytes;
}

// Zeros behind cols; what lies behind the last token's columns is any number.
template <int Parts>
struct SplitRows {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 4;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kPieces = kColumnBytes / 16;  // of eight values
  static constexpr int kTokens = kThreads / kPieces;
  Rows x;
  int32_t tokens = 0, cols = 0;
  std::byte* parts = nullptr;

  KRAIT_DEVICE void load(const float* at, int count, Float2 (&v)[4]) const {
    if (count >= 8 && reinterpret_cast<uintptr_t>(at) % 16 == 0) {
      const Float4 first = load4(at), second = load4(at + 4);
      v[0] = {first.x, first.y};
      v[1] = {first.z, first.w};
      v[2] = {second.x, second.y};
      v[3] = {second.z, second.w};
      return;
    }
    KRAIT_UNROLL
    for (int i = 0; i < 4; ++i)
      v[i] = {2 * i < count ? at[2 * i] : 0.0f, 2 * i + 1 < count ? at[2 * i + 1] : 0.0f};
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int64_t token = int64_t{block_x()} * kTokens + thread_index() / kPieces;
    const int piece = thread_index() % kPieces, chunk = block_y();
    if (token >= tokens) return;
    const int k = chunk * kChunk + piece * 8;
    Float2 v[4];
    load(x.data + token * x.stride + k, cols - k, v);
    KRAIT_UNROLL
    for (int part = 0; part < kColumns; ++part) {
      Word4 bits{};
      if (part < Parts) bits = {take_part(v[0]), take_part(v[1]), take_part(v[2]), take_part(v[3])};
      const int64_t column = token * kColumns + part;
      const int in_block = static_cast<int>(column % kBlockColumns);
      std::byte* block = parts + parts_offset(column - in_block, chunk, blocks_y());
      *reinterpret_cast<Word4*>(block + column_piece(in_block, piece)) = bits;
    }
  }
};

// The sums of 32 activations of a column, in the order of mma_bf16, which weights with a minimum
// need: for a column block and chunk, [2][64] floats.
inline constexpr int kColumnSumsBytes = 2 * kBlockColumns * 4;
constexpr int64_t column_sums_bytes(int64_t tokens, int parts, int64_t cols) noexcept {
  return parts_bytes(tokens, parts, cols) / kBlockBytes * kColumnSumsBytes;
}

struct SumColumns {
  static constexpr int kThreads = kBlockColumns / 8 * kWarp;  // a warp for eight columns
  static constexpr int kMinBlocks = 2;
  const std::byte* parts;
  std::byte* sums;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int64_t block = int64_t{block_x()} * blocks_y() + block_y();
    const std::byte* columns = parts + block * kBlockBytes;
    auto* to = reinterpret_cast<float*>(sums + block * kColumnSumsBytes);
    const int lane = lane_index(), first = warp_index() * 8;
    KRAIT_UNROLL
    for (int half = 0; half < 2; ++half) {
      float d[4] = {};
      KRAIT_UNROLL
      for (int step = 2 * half; step < 2 * half + 2; ++step) {
        uint32_t b[2];
        KRAIT_UNROLL
        for (int i = 0; i < 2; ++i)
          b[i] = *reinterpret_cast<const uint32_t*>(
              columns + column_piece(first + lane / 4, step * 2 + i) + lane % 4 * 4);
        mma_ones(d, b);
      }
      if (lane < 4) {
        to[half * kBlockColumns + first + lane * 2] = d[0];
        to[half * kBlockColumns + first + lane * 2 + 1] = d[1];
      }
    }
  }
};

// To where the parts end.
template <int Parts>
void sum_columns(Stream stream, const Product& p) noexcept {
  Shape shape;
  shape.blocks_x = ceil_div(p.tokens * columns_per_token(Parts), kBlockColumns);
  shape.blocks_y = ceil_div(p.w.cols, kChunk);
  shape.threads = SumColumns::kThreads;
  launch(stream, shape, SumColumns{p.scratch, p.scratch + parts_bytes(p.tokens, Parts, p.w.cols)});
}

template <int Parts>
void split_rows(Stream stream, const Product& p) noexcept {
  using Kernel = SplitRows<Parts>;
  Kernel kernel;
  kernel.x = p.x;
  kernel.tokens = p.tokens;
  kernel.cols = p.w.cols;
  kernel.parts = p.scratch;
  Shape shape;
  shape.blocks_x = ceil_div(p.tokens, Kernel::kTokens);
  shape.blocks_y = ceil_div(p.w.cols, kChunk);
  shape.threads = Kernel::kThreads;
  launch(stream, shape, kernel);
}

}  // namespace krait::cuda
