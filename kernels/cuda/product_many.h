// A product for many tokens, at the speed of the tensor cores: blocks of warps hold a rectangle of
// results in registers and bring weights and activations through shared memory, chunk of 64 columns
// by chunk. The activations come as bf16 parts (product_parts.h).
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_wide.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_parts.h"
#include "kernels/cuda/product_results.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

// Tiles of a warp: RowTiles x 16 rows and ColumnTiles x 8 columns; WarpRows x WarpColumns warps.
// `Splits`: the block makes the parts itself, on the way from x to shared memory; for so few tokens
// that a kernel of its own would cost more.
template <Format F, int Parts, int WarpRows, int WarpColumns, int RowTiles, int ColumnTiles,
          bool Splits>
struct ManyProduct {
  static constexpr int kThreads = WarpRows * WarpColumns * kWarp;
  static constexpr int kMinBlocks = kThreads >= 256 ? 1 : 2;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kBlockRowTiles = WarpRows * RowTiles;
  static constexpr int kTileColumns = WarpColumns * ColumnTiles * 8;
  static constexpr int kStages = 4;
  static constexpr int kWeightParts = weight_parts(F);
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kScaleSteps = kScaled ? steps_per_scale(F) : steps_per_tile(F);
  static constexpr int kChunkTiles = kChunk / tile_cols(F);
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kChunkBytes = kChunkTiles * kTileAll;  // of weights, per row tile
  static constexpr int kWeightBytes = kBlockRowTiles * kChunkBytes;
  static constexpr int kStageBytes = kWeightBytes + kTileColumns * kColumnBytes;
  static constexpr size_t kShared = size_t{kStages} * kStageBytes;
  static_assert(ColumnTiles % 2 == 0 && (Splits || kTileColumns % kBlockColumns == 0));
  static constexpr int kPairs = kChunk / 2;
  static constexpr int kOwnPairs = kTileColumns / kColumns * kPairs / kThreads;

  Weights w;
  Layout layout;
  int32_t tokens = 0, slices = 1, chunks = 1;
  const std::byte* parts = nullptr;  // unless it splits
  Rows x;                            // if it splits
  ResultWriter<kColumns> results;
  float* slice_sums = nullptr;  // not null: a block for each slice, which leaves its sums here

  // What a block computes.
  KRAIT_DEVICE int row_block() const { return slice_sums ? block_y() / slices : block_y(); }
  KRAIT_DEVICE int first_slice() const { return slice_sums ? block_y() % slices : 0; }
  KRAIT_DEVICE int end_slice() const { return slice_sums ? first_slice() + 1 : slices; }

  struct Sums {
    float of[RowTiles][ColumnTiles][4];
  };

  // Starts the copies of one chunk into its stage.
  KRAIT_DEVICE void fetch(int chunk, std::byte* stage) const {
    const int64_t row_tile = int64_t{row_block()} * kBlockRowTiles;
    for (int i = thread_index(); i < kWeightBytes / 16; i += kThreads) {
      const int tile = i * 16 / kChunkBytes, at = i * 16 % kChunkBytes;
      const int64_t byte = int64_t{chunk} * kChunkBytes + at;
      const bool real = row_tile + tile < layout.row_tiles && byte < layout.row_tile_bytes;
      copy_async(stage + i * 16,
                 real ? w.tiles + (row_tile + tile) * layout.row_tile_bytes + byte : w.tiles, real);
    }
    if constexpr (!Splits) fetch_columns(chunk, stage + kWeightBytes);
  }

  KRAIT_DEVICE void fetch_columns(int chunk, std::byte* columns) const {
    const int64_t first = int64_t{block_x()} * kTileColumns;
    for (int i = thread_index(); i < kTileColumns * 8; i += kThreads) {
      const int64_t column = first + i / (kBlockColumns * 8) * kBlockColumns;
      const bool real = column < int64_t{tokens} * kColumns;
      copy_async(columns + i * 16,
                 parts + (real ? parts_offset(column, chunk, chunks) + i * 16 % kBlockBytes : 0),
                 real);
    }
  }

  // The activations of a chunk, on their way.
  struct Own {
    Float2 pairs[kOwnPairs];
  };
  KRAIT_DEVICE void load_own(int chunk, Own& own) const {
    constexpr int kStride = kThreads / kPairs;  // tokens from one pair to the next
    const int first = block_x() * (kTileColumns / kColumns) + thread_index() / kPairs;
    const int k = chunk * kChunk + thread_index() % kPairs * 2;
    const bool low = k < w.cols, high = k + 1 < w.cols;
    const float* at = x.data + first * x.stride + k;
    KRAIT_UNROLL
    for (int e = 0; e < kOwnPairs; ++e) {
      const bool real = first + e * kStride < tokens;
      own.pairs[e] = {real && low ? at[0] : 0.0f, real && high ? at[1] : 0.0f};
      at += kStride * x.stride;
    }
  }
  KRAIT_DEVICE static void split_own(Own& own, std::byte* columns) {
    KRAIT_UNROLL
    for (int e = 0; e < kOwnPairs; ++e) {
      const int i = thread_index() + e * kThreads, pair = i % kPairs;
      KRAIT_UNROLL
      for (int part = 0; part < kColumns; ++part) {
        const int column = i / kPairs * kColumns + part;
        std::byte* at = columns + column_piece(column, pair / 4) + pair % 4 * 4;
        *reinterpret_cast<uint32_t*>(at) = part < Parts ? take_part(own.pairs[e]) : 0u;
      }
    }
  }

  // Operand b of one step of a chunk, two column tiles at a time.
  KRAIT_DEVICE static void activations(const std::byte* columns, int step, int lane,
                                       uint32_t (&b)[ColumnTiles][2]) {
    KRAIT_UNROLL
    for (int tile = 0; tile < ColumnTiles; tile += 2) {
      const int column = tile * 8 + lane / 16 * 8 + lane % 8, part = step * 2 + lane / 8 % 2;
      uint32_t four[4];
      load_matrices(four, columns + column_piece(column, part));
      b[tile][0] = four[0];
      b[tile][1] = four[1];
      b[tile + 1][0] = four[2];
      b[tile + 1][1] = four[3];
    }
  }

  // Adds one chunk. `first_tile` is the warp's first row tile.
  KRAIT_DEVICE void add_chunk(const std::byte* weights, const std::byte* columns, int chunk,
                              int64_t first_tile, int lane, Sums& sums) const {
    const int tiles =
        static_cast<int>(at_most(kChunkTiles, layout.k_tiles - int64_t{chunk} * kChunkTiles));
    for (int tile = 0; tile < tiles; ++tile) {
      RawTile<F> raw[RowTiles];
      KRAIT_UNROLL
      for (int r = 0; r < RowTiles; ++r)
        raw[r].load_shared(weights + r * kChunkBytes + tile * kTileAll, lane);
      KRAIT_UNROLL
      for (int begin = 0; begin < steps_per_tile(F); begin += kScaleSteps) {
        const int step = tile * steps_per_tile(F) + begin;
        if constexpr (kScaled) {
          add_scaled_block(raw, begin, columns, step, chunk * (kChunk / kStep) + step, first_tile,
                           lane, sums);
        } else {
          uint32_t b[ColumnTiles][2];
          activations(columns, step, lane, b);
          multiply(raw, begin, b, sums);
        }
      }
    }
  }

  KRAIT_DEVICE static void multiply(const RawTile<F> (&raw)[RowTiles], int step,
                                    const uint32_t (&b)[ColumnTiles][2], Sums& sums) {
    KRAIT_UNROLL
    for (int r = 0; r < RowTiles; ++r) {
      uint32_t a[kWeightParts][4];
      weights_of_step<F>(raw[r], step, a);
      KRAIT_UNROLL
      for (int c = 0; c < ColumnTiles; ++c) {
        KRAIT_UNROLL
        for (int part = 0; part < kWeightParts; ++part) mma_bf16(sums.of[r][c], a[part], b[c]);
      }
    }
  }

  // One scaled block: `step` in the chunk, `row_step` in the row.
  KRAIT_DEVICE void add_scaled_block(const RawTile<F> (&raw)[RowTiles], int begin,
                                     const std::byte* columns, int step, int row_step,
                                     int64_t first_tile, int lane, Sums& sums) const {
    Sums block{};
    float ones[ColumnTiles][4] = {};
    KRAIT_UNROLL
    for (int s = 0; s < kScaleSteps; ++s) {
      uint32_t b[ColumnTiles][2];
      activations(columns, step + s, lane, b);
      multiply(raw, begin + s, b, block);
      if constexpr (F == Format::q4_k) {
        KRAIT_UNROLL
        for (int c = 0; c < ColumnTiles; ++c) mma_ones(ones[c], b[c]);
      }
    }
    KRAIT_UNROLL
    for (int r = 0; r < RowTiles; ++r) {
      const int64_t row_tile = at_most(first_tile + r, layout.row_tiles - 1);
      const std::byte* scales = w.scales + row_tile * layout.scales_stride();
      const Scale scale = scale_of<F>(scales, scales + layout.scale_bytes, row_step, lane / 4);
      KRAIT_UNROLL
      for (int c = 0; c < ColumnTiles; ++c) {
        KRAIT_UNROLL
        for (int i = 0; i < 4; ++i) {
          float& sum = sums.of[r][c][i];
          sum = multiply_add(i < 2 ? scale.low : scale.high, block.of[r][c][i], sum);
          if constexpr (F == Format::q4_k)
            sum = multiply_add(-(i < 2 ? scale.min_low : scale.min_high), ones[c][i], sum);
        }
      }
    }
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    std::byte* shared = shared_memory();
    const int lane = lane_index(), warp = warp_index();
    const int warp_row = warp / WarpColumns * RowTiles,
              warp_column = warp % WarpColumns * ColumnTiles;
    const int64_t first_tile = int64_t{row_block()} * kBlockRowTiles + warp_row;
    int slice = first_slice();
    const int begin = slice_begin(slice, slices, chunks);
    const int end = slice_begin(end_slice(), slices, chunks);
    const auto stage_of = [&](int chunk) {
      return shared + (chunk - begin) % kStages * kStageBytes;
    };
    KRAIT_UNROLL
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (begin + stage < end) fetch(begin + stage, shared + stage * kStageBytes);
      copy_commit();
    }
    Own own;
    if constexpr (Splits) {
      load_own(begin, own);
      split_own(own, shared + kWeightBytes);
      if (begin + 1 < end) load_own(begin + 1, own);
    }
    Sums sums{}, total{};
    int slice_end = slice_begin(slice + 1, slices, chunks);
    for (int chunk = begin; chunk < end; ++chunk) {
      copy_wait<kStages - 2>();
      sync_block();
      const int ahead = chunk + kStages - 1;
      if (ahead < end) fetch(ahead, stage_of(ahead));
      copy_commit();
      if constexpr (Splits) {
        if (chunk + 1 < end) split_own(own, stage_of(chunk + 1) + kWeightBytes);
        if (chunk + 2 < end) load_own(chunk + 2, own);
      }
      const std::byte* stage = stage_of(chunk);
      add_chunk(stage + warp_row * kChunkBytes,
                stage + kWeightBytes + warp_column * 8 * kColumnBytes, chunk, first_tile, lane,
                sums);
      if (chunk + 1 == slice_end) {
        add_slice(sums, total);
        slice_end = slice_begin(++slice + 1, slices, chunks);
      }
    }
    copy_wait<0>();
    const int64_t first_column = int64_t{block_x()} * kTileColumns + warp_column * 8;
    KRAIT_UNROLL
    for (int r = 0; r < RowTiles; ++r) {
      if (slice_sums)
        leave(total.of[r], (first_tile + r) * kTileRows, first_column, lane);
      else
        results.put(total.of[r], (first_tile + r) * kTileRows, first_column);
    }
  }

  // slice_sums[slice][column][row], the rows padded to whole blocks.
  KRAIT_DEVICE void leave(const float (&total)[ColumnTiles][4], int64_t first_row,
                          int64_t first_column, int lane) const {
    const int64_t rows = blocks_y() / slices * kBlockRowTiles * kTileRows;
    const int64_t columns = int64_t{blocks_x()} * kTileColumns;
    float* at = slice_sums + (first_slice() * columns + first_column + lane % 4 * 2) * rows +
                first_row + lane / 4;
    KRAIT_UNROLL
    for (int c = 0; c < ColumnTiles; ++c) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i) at[(c * 8 + i % 2) * rows + i / 2 * 8] = total[c][i];
    }
  }

  KRAIT_DEVICE static void add_slice(Sums& sums, Sums& total) {
    KRAIT_UNROLL
    for (int r = 0; r < RowTiles; ++r) {
      KRAIT_UNROLL
      for (int c = 0; c < ColumnTiles; ++c) {
        KRAIT_UNROLL
        for (int i = 0; i < 4; ++i) {
          total.of[r][c][i] += sums.of[r][c][i];
          sums.of[r][c][i] = 0;
        }
      }
    }
  }
};

// Steps 3 and 4 of the order, of the sums that the blocks of each slice have left.
template <int Parts>
struct AddSlices {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 4;
  static constexpr int kColumns = columns_per_token(Parts);
  const float* slice_sums = nullptr;
  int64_t padded_rows = 0, padded_columns = 0;
  int32_t slices = 1, rows = 0;
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int row = block_x() * kThreads + thread_index(), token = block_y();
    if (row >= rows) return;
    const float* from = slice_sums + int64_t{token} * kColumns * padded_rows + row;
    float sums[kColumns] = {};
    KRAIT_UNROLL_4
    for (int slice = 0; slice < slices; ++slice) {
      KRAIT_UNROLL
      for (int c = 0; c < kColumns; ++c)
        sums[c] += from[(slice * padded_columns + c) * padded_rows];
    }
    float sum = sums[0];
    if constexpr (kColumns == 2) sum = sums[0] + sums[1];
    if constexpr (kColumns == 4) sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    if (bias) sum += bias[row];
    float* at = out.data + token * out.stride + row;
    *at = accumulate ? *at + sum : sum;
  }
};

// Bytes of the slices' sums for blocks of so many rows and columns.
constexpr int64_t slice_sums_bytes(const Weights& w, int64_t columns, int block_rows,
                                   int block_columns) noexcept {
  return int64_t{4} * slices_of(w.rows, w.cols) *
         (ceil_div(columns, int64_t{block_columns}) * block_columns) *
         (ceil_div(w.rows, block_rows) * block_rows);
}

// `slice_sums` not null: a block for each slice too, for products with few blocks otherwise.
template <Format F, int Parts, int WarpRows, int WarpColumns, int RowTiles, int ColumnTiles,
          bool Splits>
void many_product(Stream stream, const Product& p, float* slice_sums = nullptr) noexcept {
  using Kernel = ManyProduct<F, Parts, WarpRows, WarpColumns, RowTiles, ColumnTiles, Splits>;
  Kernel kernel;
  kernel.w = p.w;
  kernel.layout = layout_of(F, p.w.rows, p.w.cols);
  kernel.tokens = p.tokens;
  kernel.chunks = ceil_div(p.w.cols, kChunk);
  kernel.slices = slices_of(p.w.rows, p.w.cols);
  kernel.parts = p.scratch;
  kernel.x = p.x;
  kernel.results = {p.bias, p.out, p.accumulate, p.w.rows, p.tokens};
  kernel.slice_sums = slice_sums;
  const int64_t row_blocks = ceil_div(kernel.layout.row_tiles, int64_t{Kernel::kBlockRowTiles});
  Shape shape;
  shape.blocks_x = ceil_div(int64_t{p.tokens} * Kernel::kColumns, int64_t{Kernel::kTileColumns});
  shape.blocks_y = row_blocks * (slice_sums ? kernel.slices : 1);
  shape.threads = Kernel::kThreads;
  shape.shared_bytes = Kernel::kShared;
  launch(stream, shape, kernel);
  if (!slice_sums) return;
  AddSlices<Parts> add;
  add.slice_sums = slice_sums;
  add.padded_rows = row_blocks * Kernel::kBlockRowTiles * kTileRows;
  add.padded_columns = shape.blocks_x * Kernel::kTileColumns;
  add.slices = kernel.slices;
  add.rows = p.w.rows;
  add.bias = p.bias;
  add.out = p.out;
  add.accumulate = p.accumulate;
  launch(stream, {ceil_div(p.w.rows, add.kThreads), p.tokens, add.kThreads, 0}, add);
}

}  // namespace krait::cuda
