// A product for few tokens, at the speed of reading the weights: each warp streams one slice of a
// row tile from memory straight into the operands of mma_bf16; the warps of a block share the
// slices of its row tiles. What the product reads (Source, few_sources.h) and what becomes of a
// result (Sink) are parameters, so that neighbouring operations join it without passing through
// memory:
//
//   Source   size_t shared_bytes(int tokens)
//            auto stage<Parts>(const Columns&, int tokens, std::byte* shared)
//                                  by the whole block: puts the activations; what it returns is
//                                  passed on to the sink
//   Sink     kLanes                neighbouring lanes that get each result
//            void put(const Staged&, bool real, int row, int token, int lane, float sum)
//                                  by whole warps; not `real`: nothing to do
#pragma once

#include "kernels/cuda/few_sources.h"
#include "kernels/cuda/launch.h"

namespace krait::cuda {

// out[t] (+)= sum (+ bias).
struct PlainSink {
  static constexpr int kLanes = 1;
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;

  KRAIT_DEVICE void put(int, bool real, int row, int token, int, float sum) const {
    if (!real) return;
    float* at = out.data + token * out.stride + row;
    if (bias) sum += bias[row];
    *at = accumulate ? *at + sum : sum;
  }
};

template <Format F, int Parts, int ColumnTiles, class Source, class Sink>
struct FewProduct {
  static constexpr int kThreads = 512;
  static constexpr int kMinBlocks = 1;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kAhead = F == Format::f32    ? 4
                                : F == Format::q4_k ? 6
                                                    : 8;  // tiles in flight
  static constexpr int kWeightParts = weight_parts(F);
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kScaleSteps = kScaled ? steps_per_scale(F) : steps_per_tile(F);
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kWarpParts = kTileRows * 8 * ColumnTiles;  // sums of a warp

  Weights w;
  Layout layout;
  int tokens = 0;
  int slices = 1;
  int tiles_per_block = 1;
  Source source;
  Sink sink;

  struct Sums {
    float of[ColumnTiles][4];
  };

  // A tile on its way from memory.
  struct Ahead {
    RawTile<F> raw;
    TileScales<F> scales;
  };

  // The columns of a lane, at its words. What belongs to no token or part reads another's: its sums
  // are not looked at.
  struct LaneColumns {
    const uint32_t* words[ColumnTiles];

    KRAIT_DEVICE LaneColumns(const Columns& columns, int tokens, int lane) {
      KRAIT_UNROLL
      for (int tile = 0; tile < ColumnTiles; ++tile) {
        const int column = tile * 8 + lane / 4, part = column % kColumns;
        const int token = column / kColumns < tokens ? column / kColumns : 0;
        words[tile] =
            columns.words + (token * Parts + (part < Parts ? part : 0)) * columns.stride + lane % 4;
      }
    }
  };

  // Adds the blocks of one tile, which begins with step `step` of the row.
  KRAIT_DEVICE static void add_tile(const Ahead& tile, int step, const LaneColumns& columns,
                                    Sums& sums) {
    KRAIT_UNROLL
    for (int begin = 0; begin < steps_per_tile(F); begin += kScaleSteps) {
      Sums block{}, ones{};
      Sums& target = kScaled ? block : sums;
      KRAIT_UNROLL
      for (int s = begin; s < begin + kScaleSteps; ++s) {
        uint32_t a[kWeightParts][4];
        weights_of_step<F>(tile.raw, s, a);
        KRAIT_UNROLL
        for (int c = 0; c < ColumnTiles; ++c) {
          const uint32_t* words = columns.words[c] + (step + s) * (kStep / 2);
          const uint32_t b[2] = {words[0], words[4]};
          KRAIT_UNROLL
          for (int part = 0; part < kWeightParts; ++part) mma_bf16(target.of[c], a[part], b);
          if constexpr (F == Format::q4_k) mma_ones(ones.of[c], b);
        }
      }
      if constexpr (kScaled) add_scaled(tile.scales.of(begin / kScaleSteps), block, ones, sums);
    }
  }

  KRAIT_DEVICE static void add_scaled(const Scale& scale, const Sums& block, const Sums& ones,
                                      Sums& sums) {
    KRAIT_UNROLL
    for (int tile = 0; tile < ColumnTiles; ++tile) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        float& sum = sums.of[tile][i];
        sum = multiply_add(i < 2 ? scale.low : scale.high, block.of[tile][i], sum);
        if constexpr (F == Format::q4_k)
          sum = multiply_add(-(i < 2 ? scale.min_low : scale.min_high), ones.of[tile][i], sum);
      }
    }
  }

  // One warp's row tile and the slice of it.
  struct Slice {
    const std::byte *tiles, *scales, *supers;
    int first, end;  // tiles

    KRAIT_DEVICE void load(int tile, int lane, Ahead& to) const {
      to.raw.load_global(tiles + int64_t{kTileAll} * tile, lane);
      if constexpr (kScaled) to.scales.load(scales, supers, tile, lane / 4);
    }
  };
  KRAIT_DEVICE Slice slice_of_warp(int warp) const {
    constexpr int kChunkTiles = kChunk / tile_cols(F);
    const int row_tile = block_x() * tiles_per_block + warp / slices, slice = warp % slices;
    const int chunks = ceil_div(w.cols, kChunk);
    const int64_t tiles = row_tile < layout.row_tiles ? layout.k_tiles : 0;
    Slice s;
    s.tiles = w.tiles + row_tile * layout.row_tile_bytes;
    s.scales = w.scales + row_tile * layout.scales_stride();
    s.supers = s.scales + layout.scale_bytes;
    s.first = slice_begin(slice, slices, chunks) * kChunkTiles;
    s.end = static_cast<int>(at_most(slice_begin(slice + 1, slices, chunks) * kChunkTiles, tiles));
    return s;
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    const int lane = lane_index(), warp = warp_index();
    const Slice slice = slice_of_warp(warp);
    Ahead ahead[kAhead];
    KRAIT_UNROLL
    for (int i = 0; i < kAhead; ++i)
      if (slice.first + i < slice.end) slice.load(slice.first + i, lane, ahead[i]);

    wait_for_predecessor();
    std::byte* shared = shared_memory();
    auto* parts = reinterpret_cast<float*>(shared);
    shared += sizeof(float) * kWarpParts * (thread_count() / kWarp);
    const Columns columns{reinterpret_cast<uint32_t*>(shared), column_stride(w.cols)};
    shared += columns_bytes(w.cols, tokens, Parts);
    const auto staged = source.template stage<Parts>(columns, tokens, shared);
    sync_block();

    const LaneColumns own(columns, tokens, lane);
    Sums sums{};
    for (int tile = slice.first; tile < slice.end; tile += kAhead) {
      KRAIT_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (tile + i >= slice.end) break;
        add_tile(ahead[i], (tile + i) * steps_per_tile(F), own, sums);
        if (tile + i + kAhead < slice.end) slice.load(tile + i + kAhead, lane, ahead[i]);
      }
    }
    share(sums, parts + warp * kWarpParts, lane);
    sync_block();
    finish(staged, parts);
  }

  // The lane's sums to parts [row][column] of its warp.
  KRAIT_DEVICE static void share(const Sums& sums, float* parts, int lane) {
    KRAIT_UNROLL
    for (int tile = 0; tile < ColumnTiles; ++tile) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = tile * 8 + lane % 4 * 2 + i % 2;
        parts[row * 8 * ColumnTiles + column] = sums.of[tile][i];
      }
    }
  }

  // Steps 3 and 4 of the order, Sink::kLanes lanes for each row and token.
  template <class Staged>
  KRAIT_DEVICE void finish(const Staged& staged, const float* parts) const {
    const int rows = tiles_per_block * kTileRows, lanes = rows * tokens * Sink::kLanes;
    for (int base = 0; base < lanes; base += thread_count()) {
      const int i = base + thread_index(), in_block = i / Sink::kLanes % rows;
      const int token = i / Sink::kLanes / rows, row = block_x() * rows + in_block;
      const bool real = i < lanes && row < w.rows;
      float sums[Parts] = {};
      if (real) {
        const float* from = parts + in_block / kTileRows * slices * kWarpParts +
                            in_block % kTileRows * 8 * ColumnTiles + token * kColumns;
        KRAIT_UNROLL_4
        for (int slice = 0; slice < slices; ++slice) {
          KRAIT_UNROLL
          for (int c = 0; c < Parts; ++c) sums[c] += from[slice * kWarpParts + c];
        }
      }
      sink.put(staged, real, row, token, i % Sink::kLanes, sum_columns(sums));
    }
  }

  KRAIT_DEVICE static float sum_columns(const float (&c)[Parts]) {
    if constexpr (Parts == 1)
      return c[0];
    else if constexpr (Parts == 2)
      return c[0] + c[1];
    else
      return (c[0] + c[1]) + (c[2] + 0.0f);
  }
};

// Bytes of shared memory, for at most 16 columns (tokens * columns_per_token).
template <int Parts, class Source>
size_t few_shared_bytes(const Weights& w, int tokens, const Source& source, int warps,
                        int column_tiles) noexcept {
  return sizeof(float) * kTileRows * 8 * static_cast<size_t>(column_tiles * warps) +
         columns_bytes(w.cols, tokens, Parts) + source.shared_bytes(tokens);
}

// `tiles_per_block` 0: as many row tiles as make eight warps.
template <Format F, int Parts, int ColumnTiles, class Source, class Sink>
void few_product(Stream stream, const Weights& w, int tokens, const Source& source,
                 const Sink& sink, int tiles_per_block = 0) noexcept {
  FewProduct<F, Parts, ColumnTiles, Source, Sink> kernel;
  kernel.w = w;
  kernel.layout = layout_of(F, w.rows, w.cols);
  kernel.tokens = tokens;
  kernel.slices = slices_of(w.rows, w.cols);
  kernel.tiles_per_block = tiles_per_block > 0  ? tiles_per_block
                           : kernel.slices <= 8 ? 8 / kernel.slices
                                                : 1;
  kernel.source = source;
  kernel.sink = sink;
  const int warps = kernel.slices * kernel.tiles_per_block;
  Shape shape;
  shape.blocks_x = ceil_div(kernel.layout.row_tiles, int64_t{kernel.tiles_per_block});
  shape.threads = warps * kWarp;
  shape.shared_bytes = few_shared_bytes<Parts>(w, tokens, source, warps, ColumnTiles);
  launch(stream, shape, kernel);
}

}  // namespace krait::cuda
