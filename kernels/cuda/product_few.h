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
//            Ahead fetch(int row, int token, int lane)
//                                  what it needs from memory, asked for early
//            void put(const Staged&, const Ahead&, bool real, int row, int token, int lane,
//                     float sum)   by whole warps; not `real`: nothing to do
#pragma once

#include <algorithm>

#include "kernels/cuda/few_sources.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/weight_ring.h"

namespace krait::cuda {

// out[t] (+)= sum (+ bias).
struct PlainSink {
  static constexpr int kLanes = 1;
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;

  struct Ahead {
    float bias, old;
  };
  KRAIT_DEVICE Ahead fetch(int row, int token, int) const {
    return {bias ? bias[row] : 0.0f, accumulate ? out.data[token * out.stride + row] : 0.0f};
  }
  KRAIT_DEVICE void put(int, const Ahead& ahead, bool real, int row, int token, int,
                        float sum) const {
    if (!real) return;
    if (bias) sum += ahead.bias;
    out.data[token * out.stride + row] = accumulate ? ahead.old + sum : sum;
  }
};

inline constexpr int kMostWarps = 12;  // of a block; slices_of() gives no more

template <Format F, int Parts, int ColumnTiles, class Source, class Sink>
struct FewProduct {
  static constexpr int kThreads = kMostWarps * kWarp;
  static constexpr int kMinBlocks = 2;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kWeightParts = weight_parts(F);
  using Ring = WeightRing<F>;
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kScaleSteps = kScaled ? steps_per_scale(F) : steps_per_tile(F);
  static constexpr int kWarpParts = kTileRows * 8 * ColumnTiles;  // sums of a warp

  Weights w;
  Layout layout;
  int tokens = 0;
  int slices = 1;
  int tiles_per_block = 1;
  int rows_log2 = 4;  // of the rows of a block
  Source source;
  Sink sink;

  struct Sums {
    float of[ColumnTiles][4];
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
        words[tile] = columns.words + (token * Parts + (part < Parts ? part : 0)) * columns.stride +
                      lane % 4 * 4;
      }
    }
  };

  // Operand b of the four steps of a chunk.
  struct Activations {
    uint32_t of[ColumnTiles][4][2];

    KRAIT_DEVICE void load(const LaneColumns& columns, int chunk) {
      KRAIT_UNROLL
      for (int c = 0; c < ColumnTiles; ++c) {
        KRAIT_UNROLL
        for (int two = 0; two < 2; ++two) {
          const Word4 v =
              *reinterpret_cast<const Word4*>(columns.words[c] + chunk * (kChunk / 2) + two * 16);
          of[c][2 * two][0] = v.x;
          of[c][2 * two][1] = v.y;
          of[c][2 * two + 1][0] = v.z;
          of[c][2 * two + 1][1] = v.w;
        }
      }
    }
  };

  // Adds the first `tiles` tiles of a chunk.
  KRAIT_DEVICE static void add_chunk(const std::byte* slot, int tiles, int lane,
                                     const Activations& b, Sums& sums) {
    KRAIT_UNROLL
    for (int tile = 0; tile < Ring::kChunkTiles; ++tile) {
      if (tile >= tiles) break;
      RawTile<F> raw;
      raw.load_shared(slot + tile * Ring::kTileAll, lane);
      TileScales<F> scales{};
      if constexpr (kScaled)
        scales.load(slot + Ring::kWeightBytes, slot + Ring::kWeightBytes + Ring::kScaleBytes, tile,
                    lane / 4);
      add_tile(raw, scales, tile * steps_per_tile(F), b, sums);
    }
  }

  // Adds the blocks of one tile, which begins with step `step` of the chunk.
  KRAIT_DEVICE static void add_tile(const RawTile<F>& raw, const TileScales<F>& scales, int step,
                                    const Activations& b, Sums& sums) {
    KRAIT_UNROLL
    for (int begin = 0; begin < steps_per_tile(F); begin += kScaleSteps) {
      Sums block{}, ones{};
      Sums& target = kScaled ? block : sums;
      KRAIT_UNROLL
      for (int s = begin; s < begin + kScaleSteps; ++s) {
        uint32_t a[kWeightParts][4];
        weights_of_step<F>(raw, s, a);
        KRAIT_UNROLL
        for (int c = 0; c < ColumnTiles; ++c) {
          KRAIT_UNROLL
          for (int part = 0; part < kWeightParts; ++part)
            mma_bf16(target.of[c], a[part], b.of[c][step + s]);
          if constexpr (F == Format::q4_k) mma_ones(ones.of[c], b.of[c][step + s]);
        }
      }
      if constexpr (kScaled) add_scaled(scales.of(begin / kScaleSteps), block, ones, sums);
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

  // A warp's slice of its row tile; nothing for warps that only help with the results.
  KRAIT_DEVICE Ring ring_of(int warp, std::byte* memory) const {
    const int row_tile = block_x() * tiles_per_block + warp / slices, slice = warp % slices;
    const int chunks = ceil_div(w.cols, kChunk);
    const bool used = warp < slices * tiles_per_block && row_tile < layout.row_tiles;
    Ring ring;
    ring.ring = memory + warp * Ring::kBytes;
    ring.tiles = w.tiles + row_tile * layout.row_tile_bytes;
    ring.scales = w.scales + row_tile * layout.scales_stride();
    ring.supers = ring.scales + layout.scale_bytes;
    ring.first = slice_begin(slice, slices, chunks);
    ring.end = used ? slice_begin(slice + 1, slices, chunks) : ring.first;
    ring.row_tiles_k = static_cast<int>(layout.k_tiles);
    ring.row_scale_bytes = static_cast<int>(layout.scale_bytes);
    ring.lane = lane_index();
    return ring;
  }

  // Which result a thread finishes in its turn `turn`.
  struct Result {
    int row, in_block, token, lane;
    bool real;
  };
  KRAIT_DEVICE Result result_of(int turn) const {
    const int i = turn * thread_count() + thread_index(), n = i / Sink::kLanes;
    Result r;
    r.in_block = n & ((1 << rows_log2) - 1);
    r.token = n >> rows_log2;
    r.row = (block_x() << rows_log2) + r.in_block;
    r.lane = i % Sink::kLanes;
    r.real = r.token < tokens && r.row < w.rows;
    return r;
  }
  KRAIT_DEVICE typename Sink::Ahead fetch_for(const Result& r) const {
    return r.real ? sink.fetch(r.row, r.token, r.lane) : typename Sink::Ahead{};
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    const int warp = warp_index(), warps = slices * tiles_per_block;
    std::byte* shared = shared_memory();
    const Ring ring = ring_of(warp, shared);
    if (warp < warps) ring.fill();

    wait_for_predecessor();
    shared += warps * Ring::kBytes;
    auto* parts = reinterpret_cast<float*>(shared);
    shared += sizeof(float) * kWarpParts * warps;
    const Columns columns{reinterpret_cast<uint32_t*>(shared), column_stride(w.cols)};
    shared += columns_bytes(w.cols, tokens, Parts);
    const typename Sink::Ahead ahead = fetch_for(result_of(0));
    const auto staged = source.template stage<Parts>(columns, tokens, shared);
    sync_block();

    const LaneColumns own(columns, tokens, ring.lane);
    Sums sums{};
    ring.drain([&](const std::byte* slot, int chunk, int tiles) {
      Activations b;
      b.load(own, chunk);
      if (tiles == Ring::kChunkTiles)
        add_chunk(slot, Ring::kChunkTiles, ring.lane, b, sums);
      else
        add_chunk(slot, tiles, ring.lane, b, sums);
    });
    if (warp < warps) share(sums, parts + warp * kWarpParts, ring.lane);
    sync_block();
    finish(staged, ahead, parts);
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

  // Steps 3 and 4 of the order, Sink::kLanes lanes for each row and
  // token.
  template <class Staged>
  KRAIT_DEVICE void finish(const Staged& staged, typename Sink::Ahead ahead,
                           const float* parts) const {
    const int lanes = tiles_per_block * kTileRows * tokens * Sink::kLanes;
    for (int turn = 0; turn * thread_count() < lanes; ++turn) {
      const Result r = result_of(turn);
      if (turn > 0) ahead = fetch_for(r);
      float sums[Parts] = {};
      if (r.real) {
        const float* from = parts + r.in_block / kTileRows * slices * kWarpParts +
                            r.in_block % kTileRows * 8 * ColumnTiles + r.token * kColumns;
        KRAIT_UNROLL_4
        for (int slice = 0; slice < slices; ++slice) {
          KRAIT_UNROLL
          for (int c = 0; c < Parts; ++c) sums[c] += from[slice * kWarpParts + c];
        }
      }
      sink.put(staged, ahead, r.real, r.row, r.token, r.lane, sum_columns(sums));
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

// How a product is shared out.
struct FewShape {
  int slices = 1, tiles_per_block = 1, threads = 0;
  size_t shared_bytes = 0;
};
// `tiles_per_block`, a power of two; 0: as many row tiles as make about eight warps.
template <Format F, int Parts, class Source, class Sink>
FewShape few_shape(const Weights& w, int tokens, const Source& source, const Sink&,
                   int tiles_per_block = 0) noexcept {
  FewShape s;
  s.slices = slices_of(w.rows, w.cols);
  s.tiles_per_block = tiles_per_block > 0 ? tiles_per_block
                      : s.slices == 1     ? 8
                      : s.slices == 2     ? 4
                      : s.slices <= 4     ? 2
                                          : 1;
  while (s.slices * s.tiles_per_block > kMostWarps) s.tiles_per_block /= 2;
  const int warps = s.slices * s.tiles_per_block;
  const int lanes = s.tiles_per_block * kTileRows * tokens * Sink::kLanes;
  s.threads = std::max(warps, std::min(ceil_div(lanes, kWarp), 8)) * kWarp;
  const int column_tiles = tokens * columns_per_token(Parts) <= 8 ? 1 : 2;
  s.shared_bytes =
      static_cast<size_t>(warps) * (WeightRing<F>::kBytes + 4 * kTileRows * 8 * column_tiles) +
      columns_bytes(w.cols, tokens, Parts) + source.shared_bytes(tokens);
  return s;
}

// For few enough tokens: FewProduct's columns, and what fits into shared memory.
constexpr int kFewColumns = 16;
constexpr size_t kFewShared = size_t{200} << 10;
template <Format F, int Parts, class Source, class Sink>
bool few_fits(const Weights& w, int tokens, const Source& source, const Sink& sink,
              int tiles_per_block = 0) noexcept {
  return tokens * columns_per_token(Parts) <= kFewColumns &&
         few_shape<F, Parts>(w, tokens, source, sink, tiles_per_block).shared_bytes <= kFewShared;
}

template <Format F, int Parts, int ColumnTiles, class Source, class Sink>
void start_few(Stream stream, const Weights& w, int tokens, const Source& source, const Sink& sink,
               const FewShape& s) noexcept {
  FewProduct<F, Parts, ColumnTiles, Source, Sink> kernel;
  kernel.w = w;
  kernel.layout = layout_of(F, w.rows, w.cols);
  kernel.tokens = tokens;
  kernel.slices = s.slices;
  kernel.tiles_per_block = s.tiles_per_block;
  kernel.rows_log2 = 4;
  while (1 << (kernel.rows_log2 - 4) < s.tiles_per_block) ++kernel.rows_log2;
  kernel.source = source;
  kernel.sink = sink;
  Shape shape;
  shape.blocks_x = ceil_div(kernel.layout.row_tiles, int64_t{s.tiles_per_block});
  shape.threads = s.threads;
  shape.shared_bytes = s.shared_bytes;
  launch(stream, shape, kernel);
}

// few_fits() holds.
template <Format F, int Parts, class Source, class Sink>
void few_product(Stream stream, const Weights& w, int tokens, const Source& source,
                 const Sink& sink, int tiles_per_block = 0) noexcept {
  const FewShape s = few_shape<F, Parts>(w, tokens, source, sink, tiles_per_block);
  if (tokens * columns_per_token(Parts) <= 8)
    start_few<F, Parts, 1>(stream, w, tokens, source, sink, s);
  else
    start_few<F, Parts, 2>(stream, w, tokens, source, sink, s);
}

}  // namespace krait::cuda
