// A product for few tokens, at the speed of reading the weights: each warp streams one slice of a
// row tile from memory straight into the operands of mma_bf16; the warps of a block share the
// slices of its row tiles. What the product reads (Source) and what becomes of a result (Sink) are
// parameters, so that neighbouring operations join it without passing through memory.
//
//   Source   auto open(std::byte* shared)           by the whole block, before the first value;
//   gives
//                                                   a reader:
//            Float2 pair(int token, int64_t k)      activations k and k + 1, k even and < cols - 1
//            float value(int token, int64_t k)
//   Sink     kLanes                                 neighbouring lanes that get each result
//            void put(const Reader&, bool real, int row, int token, int lane, float sum)
//                                                   by whole warps; not `real`: nothing to do
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

// Activations as they lie in memory.
struct PlainSource {
  Rows x;
  bool pairs_aligned = false;  // both the rows and their stride are even numbers of floats

  KRAIT_DEVICE const PlainSource& open(std::byte*) const { return *this; }
  KRAIT_DEVICE float value(int token, int64_t k) const { return x.data[token * x.stride + k]; }
  KRAIT_DEVICE Float2 pair(int token, int64_t k) const {
    const float* at = x.data + token * x.stride + k;
    return pairs_aligned ? load2(at) : Float2{at[0], at[1]};
  }
};

// out[t] (+)= sum (+ bias).
struct PlainSink {
  static constexpr int kLanes = 1;
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;

  template <class Reader>
  KRAIT_DEVICE void put(const Reader&, bool real, int row, int token, int, float sum) const {
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
  static constexpr int kTokens = ColumnTiles * 8 / kColumns;  // the most
  static constexpr int kAhead = 8 / loads_per_tile(F);        // tiles in flight
  static constexpr int kWeightParts = weight_parts(F);
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kScaleSteps = kScaled ? steps_per_scale(F) : steps_per_tile(F);

  Weights w;
  Layout layout;
  int tokens = 0;
  int slices = 1;
  int tiles_per_block = 1;
  Source source;
  Sink sink;

  // Bytes of the slices' sums; the source's memory lies behind them.
  static constexpr size_t sums_bytes(int warps) {
    return size_t{4} * kTileRows * 8 * ColumnTiles * warps;
  }

  struct Sums {
    float of[ColumnTiles][4];
  };

  // Operand b of one step: the lane's column of each column tile.
  template <class Reader>
  KRAIT_DEVICE void activations(const Reader& reader, int64_t k0, int lane,
                                uint32_t (&b)[ColumnTiles][2]) const {
    const int column = lane / 4, part = column % kColumns;
    const int64_t k = k0 + lane % 4 * 2;
    KRAIT_UNROLL
    for (int tile = 0; tile < ColumnTiles; ++tile) {
      const int token = (tile * 8 + column) / kColumns;
      const bool real = token < tokens && part < Parts;
      KRAIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        Float2 v{0, 0};
        if (real) v = pair_inside(reader, token, k + half * 8);
        uint32_t bits = take_part(v);
        KRAIT_UNROLL
        for (int p = 1; p < Parts; ++p) {
          const uint32_t next = take_part(v);
          if (part >= p) bits = next;
        }
        b[tile][half] = bits;
      }
    }
  }

  template <class Reader>
  KRAIT_DEVICE Float2 pair_inside(const Reader& reader, int token, int64_t k) const {
    if (k + 1 < w.cols) return reader.pair(token, k);
    return {k < w.cols ? reader.value(token, k) : 0.0f, 0.0f};
  }

  // Adds the blocks of one tile, which begins with step `step` of the row.
  template <class Reader>
  KRAIT_DEVICE void add_tile(const Reader& reader, const RawTile<F>& raw, int step,
                             const std::byte* scales, const std::byte* supers, int lane,
                             Sums& sums) const {
    KRAIT_UNROLL
    for (int begin = 0; begin < steps_per_tile(F); begin += kScaleSteps) {
      Scale scale{};
      if constexpr (kScaled) scale = scale_of<F>(scales, supers, step + begin, lane / 4);
      Sums block{}, ones{};
      Sums& target = kScaled ? block : sums;
      KRAIT_UNROLL
      for (int s = begin; s < begin + kScaleSteps; ++s) {
        uint32_t a[kWeightParts][4], b[ColumnTiles][2];
        weights_of_step<F>(raw, s, a);
        activations(reader, static_cast<int64_t>(step + s) * kStep, lane, b);
        KRAIT_UNROLL
        for (int tile = 0; tile < ColumnTiles; ++tile) {
          KRAIT_UNROLL
          for (int part = 0; part < kWeightParts; ++part)
            mma_bf16(target.of[tile], a[part], b[tile]);
          if constexpr (F == Format::q4_k) mma_ones(ones.of[tile], b[tile]);
        }
      }
      if constexpr (kScaled) add_scaled(scale, block, ones, sums);
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

  KRAIT_DEVICE void operator()() const {
    release_successor();
    const int lane = lane_index(), warp = warp_index();
    const int row_tile = block_x() * tiles_per_block + warp / slices, slice = warp % slices;
    const bool used = row_tile < layout.row_tiles;
    constexpr int kChunkTiles = kChunk / tile_cols(F);
    const int chunks = ceil_div(w.cols, kChunk);
    const int first = slice_begin(slice, slices, chunks) * kChunkTiles;
    const int end = static_cast<int>(
        at_most(slice_begin(slice + 1, slices, chunks) * kChunkTiles, used ? layout.k_tiles : 0));
    constexpr int kBytes = loads_per_tile(F) * kTileBytes;
    const std::byte* tiles = w.tiles + row_tile * layout.row_tile_bytes;
    const std::byte* scales = w.scales + row_tile * layout.scales_stride();
    const std::byte* supers = scales + layout.scale_bytes;
    RawTile<F> raw[kAhead];
    KRAIT_UNROLL
    for (int i = 0; i < kAhead; ++i)
      if (first + i < end) raw[i].load_global(tiles + int64_t{kBytes} * (first + i), lane);

    wait_for_predecessor();
    auto* parts = reinterpret_cast<float*>(shared_memory());
    const auto& reader = source.open(shared_memory() + sums_bytes(thread_count() / kWarp));
    Sums sums{};
    for (int tile = first; tile < end; tile += kAhead) {
      KRAIT_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (tile + i >= end) break;
        add_tile(reader, raw[i], (tile + i) * steps_per_tile(F), scales, supers, lane, sums);
        if (tile + i + kAhead < end)
          raw[i].load_global(tiles + int64_t{kBytes} * (tile + i + kAhead), lane);
      }
    }
    share(sums, parts + warp * kTileRows * 8 * ColumnTiles, lane);
    sync_block();
    finish(reader, parts);
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
  template <class Reader>
  KRAIT_DEVICE void finish(const Reader& reader, const float* parts) const {
    constexpr int kWarpParts = kTileRows * 8 * ColumnTiles;
    const int rows = tiles_per_block * kTileRows, lanes = rows * tokens * Sink::kLanes;
    for (int base = 0; base < lanes; base += thread_count()) {
      const int i = base + thread_index(), in_block = i / Sink::kLanes % rows;
      const int token = i / Sink::kLanes / rows, row = block_x() * rows + in_block;
      const bool real = i < lanes && row < w.rows;
      float columns[kColumns] = {};
      if (real) {
        const float* from = parts + in_block / kTileRows * slices * kWarpParts +
                            in_block % kTileRows * 8 * ColumnTiles + token * kColumns;
        for (int slice = 0; slice < slices; ++slice) {
          KRAIT_UNROLL
          for (int c = 0; c < kColumns; ++c) columns[c] += from[slice * kWarpParts + c];
        }
      }
      sink.put(reader, real, row, token, i % Sink::kLanes, sum_columns(columns));
    }
  }

  KRAIT_DEVICE static float sum_columns(const float (&c)[kColumns]) {
    if constexpr (kColumns == 1)
      return c[0];
    else if constexpr (kColumns == 2)
      return c[0] + c[1];
    else
      return (c[0] + c[1]) + (c[2] + c[3]);
  }
};

// Launches it; tokens at most FewProduct::kTokens. `source_bytes`: shared memory of the source.
// `tiles_per_block` 0: as many row tiles as make eight warps.
template <Format F, int Parts, int ColumnTiles, class Source, class Sink>
void few_product(Stream stream, const Weights& w, int tokens, const Source& source,
                 size_t source_bytes, const Sink& sink, int tiles_per_block = 0) noexcept {
  using Kernel = FewProduct<F, Parts, ColumnTiles, Source, Sink>;
  Kernel kernel;
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
  shape.shared_bytes = Kernel::sums_bytes(warps) + source_bytes;
  launch(stream, shape, kernel);
}

}  // namespace krait::cuda
