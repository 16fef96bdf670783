// A product for hundreds of tokens and more, with the warpgroup instructions of sm_90a
// (mma_wide.h): a warp brings chunks of 64 columns into a ring of stages by bulk copies
// (bulk_copy.h), two warpgroups multiply them, each with 64 rows and 128 columns of results in
// registers. A block computes one such tile of results after another, so that copies for the next
// one run while the last one is written.
#pragma once

#include <algorithm>

#include "kernels/cuda/bulk_copy.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_wide.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_parts.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

// What lies in a stage: the activations of 128 columns, then for each of eight row tiles its
// weights, then for each its scales.
template <Format F>
struct WideStage {
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kRowTiles = 8;
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kWeightBytes = kChunk / tile_cols(F) * kTileAll;  // of a row tile
  static constexpr int kScaleBytes = kScaled ? 64 : 0;                   // of a row tile
  static constexpr int kScales = kColumnsBytes + kRowTiles * kWeightBytes;
  static constexpr int kBytes = (kScales + kRowTiles * kScaleBytes + 1023) / 1024 * 1024;
  static constexpr int kCount = std::min((225 << 10) / kBytes, 8);
  static_assert(F != Format::q4_k && F != Format::q6_k);  // whose scales lie otherwise
};

template <Format F, int Parts>
struct WideProduct {
  using Stage = WideStage<F>;
  static constexpr bool kScaled = Stage::kScaled;
  static constexpr int kConsumers = Stage::kRowTiles;  // warps; one more brings the chunks
  static constexpr int kThreads = (kConsumers + 1) * kWarp;
  static constexpr int kMinBlocks = 1;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kWeightParts = weight_parts(F);
  // The steps of a chunk are multiplied in groups, between which sums come to rest.
  static constexpr int kGroupSteps = kScaled ? steps_per_scale(F) : 4 / (kWeightParts / 2 * 2 + 1);
  static constexpr int kGroups = kChunk / kStep / kGroupSteps;
  static constexpr size_t kShared =
      1024 + size_t{Stage::kCount} * (Stage::kBytes + 2 * sizeof(CopyBarrier));
  static constexpr int kNeighbours = 16;  // column blocks whose activations stay in the L2 cache

  Weights w;
  Layout layout;
  int32_t tokens = 0, slices = 1, chunks = 1, row_blocks = 0, column_blocks = 0;
  const std::byte* parts = nullptr;
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;

  using Sums = float[16][4];

  struct Operands {
    uint32_t a[kGroupSteps][kWeightParts][4];
    Scale scale;
  };

  // The stages, 1024-byte aligned, with barriers behind them.
  struct Ring {
    std::byte* base;
    int at = 0, parity = 0;
    KRAIT_DEVICE Ring() {
      std::byte* shared = shared_memory();
      base = shared + (1024 - reinterpret_cast<uintptr_t>(shared) % 1024) % 1024;
    }
    KRAIT_DEVICE std::byte* stage() const { return base + at * Stage::kBytes; }
    KRAIT_DEVICE CopyBarrier* full(int i) const {
      return reinterpret_cast<CopyBarrier*>(base + Stage::kCount * Stage::kBytes) + 2 * i;
    }
    KRAIT_DEVICE CopyBarrier* empty(int i) const { return full(i) + 1; }
    KRAIT_DEVICE void advance() {
      if (++at < Stage::kCount) return;
      at = 0;
      parity ^= 1;
    }
  };

  struct Tile {
    int row, column;  // blocks
  };
  // Neighbours in this order, computed at the same time, share weights or activations.
  KRAIT_DEVICE Tile tile_at(int i) const {
    const int first = i / (kNeighbours * row_blocks) * kNeighbours;
    const int rest = i - first * row_blocks;
    const int width = static_cast<int>(at_most(kNeighbours, column_blocks - first));
    return {rest / width, first + rest % width};
  }
  KRAIT_DEVICE int tiles() const { return row_blocks * column_blocks; }

  KRAIT_DEVICE void operator()() const {
    if constexpr (kBulkCopies) {
      release_successor();
      Ring ring;
      if (thread_index() == 0) {
        for (int i = 0; i < Stage::kCount; ++i) {
          barrier_init(ring.full(i), 1);
          barrier_init(ring.empty(i), kConsumers);
        }
        publish_barriers();
      }
      wait_for_predecessor();
      sync_block();
      if (warp_index() < kConsumers)
        consume(ring);
      else if (lane_index() == 0)
        produce(ring);
    }
  }

  // ---- the thread that copies -------------------------------------------------------------------

  KRAIT_DEVICE void produce(Ring ring) const {
    order_bulk_copies();
    for (int i = block_x(); i < tiles(); i += blocks_x()) {
      const Tile tile = tile_at(i);
      const std::byte* columns =
          parts + parts_offset(int64_t{tile.column} * kWideColumns, 0, chunks);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        barrier_wait(ring.empty(ring.at), ring.parity ^ 1);
        fetch(ring.stage(), columns + int64_t{chunk} * kColumnsBytes, tile.row, chunk,
              ring.full(ring.at));
        ring.advance();
      }
    }
  }

  KRAIT_DEVICE void fetch(std::byte* stage, const std::byte* columns, int row_block, int chunk,
                          CopyBarrier* full) const {
    const int64_t first = int64_t{row_block} * Stage::kRowTiles;
    const int row_tiles = static_cast<int>(at_most(Stage::kRowTiles, layout.row_tiles - first));
    const int64_t weights_at = int64_t{chunk} * Stage::kWeightBytes;
    const int64_t scales_at = int64_t{chunk} * Stage::kScaleBytes;
    const int weights =
        static_cast<int>(at_most(Stage::kWeightBytes, layout.row_tile_bytes - weights_at));
    const int scales =
        static_cast<int>(at_most(Stage::kScaleBytes, layout.scale_bytes - scales_at));
    barrier_arrive_expecting(full,
                             kColumnsBytes + row_tiles * (kScaled ? weights + scales : weights));
    bulk_copy(stage, columns, kColumnsBytes, full);
    for (int r = 0; r < row_tiles; ++r)
      bulk_copy(stage + kColumnsBytes + r * Stage::kWeightBytes,
                w.tiles + (first + r) * layout.row_tile_bytes + weights_at, weights, full);
    if constexpr (kScaled) {
      for (int r = 0; r < row_tiles; ++r)
        bulk_copy(stage + Stage::kScales + r * Stage::kScaleBytes,
                  w.scales + (first + r) * layout.scales_stride() + scales_at, scales, full);
    }
  }

  // ---- the warps that multiply ------------------------------------------------------------------

  // Of the steps of a chunk, how many the matrix has.
  KRAIT_DEVICE int steps_of(int chunk) const {
    return static_cast<int>(layout.k_tiles) * steps_per_tile(F) - chunk * (kChunk / kStep);
  }

  // The weights of a group of steps; zeros behind the first `steps`.
  KRAIT_DEVICE static void prepare(const std::byte* stage, int group, int steps, Operands& o) {
    const int lane = lane_index(), warp = warp_index();
    const std::byte* weights = stage + kColumnsBytes + warp * Stage::kWeightBytes;
    KRAIT_UNROLL
    for (int s = 0; s < kGroupSteps; ++s) {
      const int step = group * kGroupSteps + s;
      RawTile<F> raw{};
      if (step < steps) raw.load_shared(weights + step / steps_per_tile(F) * Stage::kTileAll, lane);
      weights_of_step<F>(raw, step % steps_per_tile(F), o.a[s]);
    }
    if constexpr (kScaled) {
      const int step = group * kGroupSteps;
      o.scale = Scale{};
      if (step < steps)
        o.scale = scale_of<F>(stage + Stage::kScales + warp * Stage::kScaleBytes, nullptr, step,
                              lane / 4);
    }
  }

  // Begins to add a group: to `sums`, or, where there are scales, to 0.
  KRAIT_DEVICE static void multiply(const Operands& o, const std::byte* stage, int group,
                                    Sums& sums) {
    warpgroup_begin();
    KRAIT_UNROLL
    for (int s = 0; s < kGroupSteps; ++s) {
      KRAIT_UNROLL
      for (int part = 0; part < kWeightParts; ++part) {
        if (kScaled && s == 0 && part == 0)
          mma_warpgroup<true>(sums, o.a[s][part], stage, group * kGroupSteps + s);
        else
          mma_warpgroup(sums, o.a[s][part], stage, group * kGroupSteps + s);
      }
    }
    warpgroup_commit();
  }

  KRAIT_DEVICE static void add_block(const Scale& scale, const Sums& block, Sums& sums) {
    KRAIT_UNROLL
    for (int c = 0; c < 16; ++c) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i)
        sums[c][i] = multiply_add(i < 2 ? scale.low : scale.high, block[c][i], sums[c][i]);
    }
  }

  KRAIT_DEVICE static void add_slice(Sums& sums, Sums& total) {
    KRAIT_UNROLL
    for (int c = 0; c < 16; ++c) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        total[c][i] += sums[c][i];
        sums[c][i] = 0;
      }
    }
  }

  // While a group is multiplied, the next one is prepared.
  KRAIT_DEVICE void consume(Ring ring) const {
    for (int i = block_x(); i < tiles(); i += blocks_x()) {
      Sums sums = {}, block, total = {};
      Operands now;
      barrier_wait(ring.full(ring.at), ring.parity);
      prepare(ring.stage(), 0, steps_of(0), now);
      for (int slice = 0, chunk = 0; slice < slices; ++slice) {
        for (const int end = slice_begin(slice + 1, slices, chunks); chunk < end; ++chunk) {
          const std::byte* stage = ring.stage();
          const int at = ring.at;
          KRAIT_UNROLL
          for (int group = 0; group < kGroups; ++group) {
            Operands next = now;
            Sums& target = kScaled ? block : sums;
            multiply(now, stage, group, target);
            if (group + 1 < kGroups) {
              prepare(stage, group + 1, steps_of(chunk), next);
            } else {
              ring.advance();
              if (chunk + 1 < chunks) {
                barrier_wait(ring.full(ring.at), ring.parity);
                prepare(ring.stage(), 0, steps_of(chunk + 1), next);
              }
            }
            warpgroup_wait<0>();
            warpgroup_own(target);
            if constexpr (kScaled) add_block(now.scale, block, sums);
            now = next;
          }
          sync_warp();
          if (lane_index() == 0) barrier_arrive(ring.empty(at));
        }
        add_slice(sums, total);
      }
      finish(tile_at(i), total);
    }
  }

  // ---- results ----------------------------------------------------------------------------------

  static constexpr int kResults = kColumns == 1 ? 2 : 1;  // of a lane's two neighbouring columns
  using Results = float[16][2][kResults];

  // Step 4 of the order.
  KRAIT_DEVICE static void add_columns(const Sums& total, Results& results) {
    KRAIT_UNROLL
    for (int c = 0; c < 16; ++c) {
      KRAIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float low = total[c][2 * half], high = total[c][2 * half + 1];
        if constexpr (kColumns == 1) {
          results[c][half][0] = low;
          results[c][half][1] = high;
        } else {
          const float pair = low + high;
          results[c][half][0] = kColumns == 2 ? pair : pair + shuffle_xor(pair, 1);
        }
      }
    }
  }

  KRAIT_DEVICE void finish(const Tile& tile, const Sums& total) const {
    const int lane = lane_index();
    Results results;
    add_columns(total, results);
    const int64_t row =
        (int64_t{tile.row} * Stage::kRowTiles + warp_index()) * kTileRows + lane / 4;
    const int64_t token = (int64_t{tile.column} * kWideColumns + lane % 4 * 2) / kColumns;
    float* at = out.data + token * out.stride + row;
    const auto inside = [&](int t, int half) {
      return token + t < tokens && row + half * 8 < w.rows;
    };
    if (bias) {
      const float values[2] = {row < w.rows ? bias[row] : 0.0f,
                               row + 8 < w.rows ? bias[row + 8] : 0.0f};
      for_each(results, [&](int, int half, float& result) { result += values[half]; });
    }
    if (accumulate) {  // all loads before the first store, so that they overlap
      Results old;
      for_each(old, [&](int t, int half, float& value) {
        value = inside(t, half) ? at[t * out.stride + half * 8] : 0.0f;
      });
      KRAIT_UNROLL
      for (int c = 0; c < 16; ++c) {
        KRAIT_UNROLL
        for (int half = 0; half < 2; ++half) {
          KRAIT_UNROLL
          for (int n = 0; n < kResults; ++n)
            results[c][half][n] = old[c][half][n] + results[c][half][n];
        }
      }
    }
    const bool writes = kColumns < 4 || lane % 2 == 0;
    for_each(results, [&](int t, int half, float result) {
      if (writes && inside(t, half)) at[t * out.stride + half * 8] = result;
    });
  }

  // Calls with the distance from the lane's first token and the half of the rows.
  template <class Function>
  KRAIT_DEVICE static void for_each(Results& results, const Function& function) {
    KRAIT_UNROLL
    for (int c = 0; c < 16; ++c) {
      KRAIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        KRAIT_UNROLL
        for (int n = 0; n < kResults; ++n)
          function(c * 8 / kColumns + n, half, results[c][half][n]);
      }
    }
  }
};

// False, and nothing is done, where the GPU or what was compiled for it cannot.
template <Format F, int Parts>
bool wide_product(Stream stream, const Product& p) noexcept {
  using Kernel = WideProduct<F, Parts>;
  if (code_version<Kernel>() != 90) return false;
  Kernel kernel;
  kernel.w = p.w;
  kernel.layout = layout_of(F, p.w.rows, p.w.cols);
  kernel.tokens = p.tokens;
  kernel.chunks = ceil_div(p.w.cols, kChunk);
  kernel.slices = slices_of(p.w.rows, p.w.cols);
  kernel.row_blocks =
      static_cast<int>(ceil_div(kernel.layout.row_tiles, int64_t{Kernel::Stage::kRowTiles}));
  kernel.column_blocks =
      static_cast<int>(ceil_div(int64_t{p.tokens} * Kernel::kColumns, int64_t{kWideColumns}));
  kernel.parts = p.scratch;
  kernel.bias = p.bias;
  kernel.out = p.out;
  kernel.accumulate = p.accumulate;
  Shape shape;
  shape.blocks_x =
      std::min(int64_t{kernel.row_blocks} * kernel.column_blocks, int64_t{multiprocessors()});
  shape.threads = Kernel::kThreads;
  shape.shared_bytes = Kernel::kShared;
  launch(stream, shape, kernel);
  return true;
}

}  // namespace krait::cuda
