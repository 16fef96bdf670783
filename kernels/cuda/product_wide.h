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
#include "kernels/cuda/product_results.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

// What lies in a stage: the activations of blocks of 64 columns, then for each of eight row tiles
// its weights, then for each its scales; then the sums of the activations, block by block.
template <Format F, int RowTiles, int ColumnTiles>
struct WideStage {
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kWeightBytes = kChunk / tile_cols(F) * kTileAll;  // of a row tile
  static constexpr int kScaleBytes = kScaled ? 64 : 0;                   // of a row tile
  static constexpr int kSuperBytes = F == Format::q4_k ? 64 : F == Format::q6_k ? 32 : 0;
  static constexpr int kColumnSumBytes = F == Format::q4_k ? kColumnSumsBytes : 0;  // of a block
  static constexpr int kBlocks = ColumnTiles * 8 / kBlockColumns;
  static constexpr int kWeights = kBlocks * kBlockBytes;
  static constexpr int kScales = kWeights + RowTiles * kWeightBytes;
  static constexpr int kColumnSums = kScales + RowTiles * (kScaleBytes + kSuperBytes);
  static constexpr int kBytes = (kColumnSums + kBlocks * kColumnSumBytes + 1023) / 1024 * 1024;
  static constexpr int kCount = std::min((RowTiles * 28 << 10) / kBytes, 8);
};

// A tile of results has RowTiles * 16 rows, 4 or 8, and ColumnTiles * 8 columns, 16 or 24.
template <Format F, int Parts, int RowTiles, int ColumnTiles>
struct WideProduct {
  using Stage = WideStage<F, RowTiles, ColumnTiles>;
  static constexpr bool kScaled = Stage::kScaled;
  static constexpr int kConsumers = RowTiles;  // warps; four more bring the chunks
  static constexpr int kThreads = (kConsumers + 4) * kWarp;
  static constexpr int kMinBlocks = 8 / RowTiles;
  // Of a thread, where all begin with the same number.
  static constexpr int kConsumerRegisters = 232, kProducerRegisters = RowTiles == 8 ? 40 : 24;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kWeightParts = weight_parts(F);
  // The steps of a chunk are multiplied in groups, between which sums come to rest.
  static constexpr int kGroupSteps = kScaled ? steps_per_scale(F) : 4 / (kWeightParts / 2 * 2 + 1);
  static constexpr int kGroups = kChunk / kStep / kGroupSteps;
  static constexpr size_t kShared =
      1024 + size_t{Stage::kCount} * (Stage::kBytes + 2 * sizeof(CopyBarrier)) + 16;
  static constexpr int kNeighbours =
      2048 / (ColumnTiles * 8);  // column groups whose activations stay in the L2 cache

  Weights w;
  Layout layout;
  int32_t slices = 1, chunks = 1, row_groups = 0, column_groups = 0, column_blocks = 0;
  const std::byte* parts = nullptr;
  const std::byte* column_sums = nullptr;
  ResultWriter<kColumns> results;

  using Sums = float[ColumnTiles][4];
  static constexpr int kTileColumns = ColumnTiles * 8;

  // The weights of a group, as they come and as they are multiplied.
  static constexpr int kGroupTiles = (kGroupSteps + steps_per_tile(F) - 1) / steps_per_tile(F);
  struct RawGroup {
    RawTile<F> tiles[kGroupTiles];
    Scale scale;
  };
  using Operands = uint32_t[kGroupSteps][kWeightParts][4];

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
    KRAIT_DEVICE std::byte* spare() const {
      return reinterpret_cast<std::byte*>(full(Stage::kCount));
    }
    KRAIT_DEVICE void advance() {
      if (++at < Stage::kCount) return;
      at = 0;
      parity ^= 1;
    }
  };

  struct Tile {
    int row, column;  // groups of RowTiles and of kTileColumns
  };
  // Neighbours in this order, computed at the same time, share weights or activations.
  KRAIT_DEVICE Tile tile_at(int i) const {
    const int first = i / (kNeighbours * row_groups) * kNeighbours;
    const int rest = i - first * row_groups;
    const int width = static_cast<int>(at_most(kNeighbours, column_groups - first));
    return {rest / width, first + rest % width};
  }
  KRAIT_DEVICE int tiles() const { return row_groups * column_groups; }

  KRAIT_DEVICE void operator()() const {
    if constexpr (kBulkCopies) {
      release_successor();
      Ring ring;
      if (thread_index() == 0) {
        for (int i = 0; i < Stage::kCount; ++i) {
          barrier_init(ring.full(i), kProducers);
          barrier_init(ring.empty(i), kConsumers);
        }
        publish_barriers();
      }
      wait_for_predecessor();
      sync_block();
      if (warp_index() < kConsumers) {
        warpgroup_more_registers<kConsumerRegisters>();
        consume(ring);
      } else {
        warpgroup_fewer_registers<kProducerRegisters>();
        const int producer = warp_index() - kConsumers;
        if (lane_index() == 0) produce(ring, producer);
      }
    }
  }

  // ---- the threads that copy --------------------------------------------------------------------

  // Each of four brings its own row tiles and block of columns: one alone could not begin copies as
  // fast as they are used up. What can be is computed once for a tile.
  static constexpr int kProducers = 4;
  static constexpr int kOwnTiles = RowTiles / kProducers;
  static_assert(Stage::kBlocks <= kProducers);

  // What a producer copies of a tile, chunk by chunk.
  struct Own {
    const std::byte *columns, *sums, *weights, *scales, *supers;
    int blocks, tiles;  // how many of them there are
    int weights_left, scales_left;
  };
  KRAIT_DEVICE Own own_of(const Tile& tile, int producer) const {
    const int block = tile.column * Stage::kBlocks + producer;
    const int row_tile = tile.row * RowTiles + producer * kOwnTiles;
    const int tiles = static_cast<int>(at_most(kOwnTiles, layout.row_tiles - row_tile));
    const std::byte* row_scales = w.scales + row_tile * layout.scales_stride();
    return {parts + int64_t{block} * chunks * kBlockBytes,
            column_sums + int64_t{block} * chunks * Stage::kColumnSumBytes,
            w.tiles + row_tile * layout.row_tile_bytes,
            row_scales,
            row_scales + layout.scale_bytes,
            producer < Stage::kBlocks && block < column_blocks ? 1 : 0,
            tiles < 0 ? 0 : tiles,
            static_cast<int>(layout.row_tile_bytes),
            static_cast<int>(layout.scale_bytes)};
  }

  KRAIT_DEVICE void produce(Ring ring, int producer) const {
    order_bulk_copies();
    for (int i = block_x(); i < tiles(); i += blocks_x()) {
      Own own = own_of(tile_at(i), producer);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        barrier_wait(ring.empty(ring.at), ring.parity ^ 1);
        fetch(ring.stage(), own, producer, ring.full(ring.at));
        if (chunk % 4 == 3) own.supers += Stage::kSuperBytes;
        ring.advance();
      }
    }
  }

  KRAIT_DEVICE void fetch(std::byte* stage, Own& own, int producer, CopyBarrier* full) const {
    const int weights = static_cast<int>(at_most(Stage::kWeightBytes, own.weights_left));
    const int scales = static_cast<int>(at_most(Stage::kScaleBytes, own.scales_left));
    barrier_arrive_expecting(full, own.blocks * (kBlockBytes + Stage::kColumnSumBytes) +
                                       own.tiles * (weights + scales + Stage::kSuperBytes));
    if (own.blocks > 0) {
      bulk_copy(stage + producer * kBlockBytes, own.columns, kBlockBytes, full);
      if constexpr (Stage::kColumnSumBytes > 0)
        bulk_copy(stage + Stage::kColumnSums + producer * Stage::kColumnSumBytes, own.sums,
                  Stage::kColumnSumBytes, full);
    }
    KRAIT_UNROLL
    for (int t = 0; t < kOwnTiles; ++t) {
      if (t >= own.tiles) break;
      const int to = producer * kOwnTiles + t;
      bulk_copy(stage + Stage::kWeights + to * Stage::kWeightBytes,
                own.weights + t * layout.row_tile_bytes, weights, full);
      std::byte* to_scales =
          stage + Stage::kScales + to * (Stage::kScaleBytes + Stage::kSuperBytes);
      if constexpr (kScaled)
        bulk_copy(to_scales, own.scales + t * layout.scales_stride(), scales, full);
      if constexpr (Stage::kSuperBytes > 0)
        bulk_copy(to_scales + Stage::kScaleBytes, own.supers + t * layout.scales_stride(),
                  Stage::kSuperBytes, full);
    }
    own.columns += kBlockBytes;
    own.sums += Stage::kColumnSumBytes;
    own.weights += Stage::kWeightBytes;
    own.scales += Stage::kScaleBytes;
    own.weights_left -= Stage::kWeightBytes;
    own.scales_left -= Stage::kScaleBytes;
  }

  // ---- the warps that multiply ------------------------------------------------------------------

  // Of the steps of a chunk, how many the matrix has.
  KRAIT_DEVICE int steps_of(int chunk) const {
    return static_cast<int>(layout.k_tiles) * steps_per_tile(F) - chunk * (kChunk / kStep);
  }

  // Loads a group; zeros behind the first `steps` of the chunk.
  KRAIT_DEVICE static void load(const std::byte* stage, int group, int steps, RawGroup& raw) {
    const int lane = lane_index(), warp = warp_index(), first = group * kGroupSteps;
    const std::byte* weights = stage + Stage::kWeights + warp * Stage::kWeightBytes;
    KRAIT_UNROLL
    for (int t = 0; t < kGroupTiles; ++t) {
      const int tile = first / steps_per_tile(F) + t;
      raw.tiles[t] = {};
      if (tile * steps_per_tile(F) < steps)
        raw.tiles[t].load_shared(weights + tile * Stage::kTileAll, lane);
    }
    if constexpr (kScaled) {
      const std::byte* scales =
          stage + Stage::kScales + warp * (Stage::kScaleBytes + Stage::kSuperBytes);
      raw.scale = {};
      if (first < steps)
        raw.scale = scale_of<F>(scales, scales + Stage::kScaleBytes, first, lane / 4);
    }
  }

  KRAIT_DEVICE static void unpack(RawGroup& raw, int group, Operands& a) {
    KRAIT_UNROLL
    for (auto& tile : raw.tiles) tile.settle();
    KRAIT_UNROLL
    for (int s = 0; s < kGroupSteps; ++s) {
      const int step = group * kGroupSteps % steps_per_tile(F) + s;
      weights_of_step<F>(raw.tiles[step / steps_per_tile(F)], step % steps_per_tile(F), a[s]);
    }
  }

  // Begins to add a group: to `sums`, or, where there are scales, to 0.
  KRAIT_DEVICE static void multiply(Operands& a, const std::byte* stage, int group, Sums& sums) {
    KRAIT_UNROLL
    for (auto& step : a) {
      KRAIT_UNROLL
      for (auto& part : step) warpgroup_own(part);
    }
    warpgroup_begin();
    KRAIT_UNROLL
    for (int s = 0; s < kGroupSteps; ++s) {
      KRAIT_UNROLL
      for (int part = 0; part < kWeightParts; ++part) {
        if (kScaled && s == 0 && part == 0)
          mma_warpgroup<true>(sums, a[s][part], stage, group * kGroupSteps + s);
        else
          mma_warpgroup<false>(sums, a[s][part], stage, group * kGroupSteps + s);
      }
    }
    warpgroup_commit();
  }

  KRAIT_DEVICE static void add_block(const Scale& scale, const Sums& block,
                                     [[maybe_unused]] const std::byte* stage,
                                     [[maybe_unused]] int group, Sums& sums) {
    KRAIT_UNROLL
    for (int c = 0; c < ColumnTiles; ++c) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i)
        sums[c][i] = multiply_add(i < 2 ? scale.low : scale.high, block[c][i], sums[c][i]);
      if constexpr (F == Format::q4_k) {
        const auto* of_group = reinterpret_cast<const float*>(stage + Stage::kColumnSums) +
                               (c * 8 / kBlockColumns * 2 + group) * kBlockColumns;
        const Float2 two = load2(of_group + c * 8 % kBlockColumns + lane_index() % 4 * 2);
        KRAIT_UNROLL
        for (int i = 0; i < 4; ++i)
          sums[c][i] = multiply_add(-(i < 2 ? scale.min_low : scale.min_high),
                                    i % 2 == 0 ? two.x : two.y, sums[c][i]);
      }
    }
  }

  KRAIT_DEVICE static void add_slice(Sums& sums, Sums& total) {
    KRAIT_UNROLL
    for (int c = 0; c < ColumnTiles; ++c) {
      KRAIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        total[c][i] += sums[c][i];
        sums[c][i] = 0;
      }
    }
  }

  // The next group is loaded only when one has been multiplied: until then registers that are its
  // operands must not change. The other warpgroup multiplies meanwhile.
  KRAIT_DEVICE void consume(Ring ring) const {
    for (int i = block_x(); i < tiles(); i += blocks_x()) {
      Sums sums = {}, block, total = {};
      RawGroup now, next = {};
      Operands a;
      barrier_wait(ring.full(ring.at), ring.parity);
      load(ring.stage(), 0, steps_of(0), now);
      unpack(now, 0, a);
      for (int slice = 0, chunk = 0; slice < slices; ++slice) {
        for (const int end = slice_begin(slice + 1, slices, chunks); chunk < end; ++chunk) {
          const std::byte* stage = ring.stage();
          const int at = ring.at;
          KRAIT_UNROLL
          for (int group = 0; group < kGroups; ++group) {
            Sums& target = kScaled ? block : sums;
            multiply(a, stage, group, target);
            const bool last = group + 1 == kGroups;
            if (last) {
              ring.advance();
              if (chunk + 1 < chunks) barrier_wait(ring.full(ring.at), ring.parity);
            }
            warpgroup_wait<0>();
            warpgroup_own(target);
            KRAIT_UNROLL
            for (auto& step : a) {
              KRAIT_UNROLL
              for (auto& part : step) warpgroup_keep(part, target[0][0], ring.spare());
            }
            if (!last)
              load(stage, group + 1, steps_of(chunk), next);
            else if (chunk + 1 < chunks)
              load(ring.stage(), 0, steps_of(chunk + 1), next);
            unpack(next, (group + 1) % kGroups, a);
            if constexpr (kScaled) add_block(now.scale, block, stage, group, sums);
            now = next;
          }
          sync_warp();
          if (lane_index() == 0) barrier_arrive(ring.empty(at));
        }
        add_slice(sums, total);
      }
      const Tile tile = tile_at(i);
      results.put(total, (int64_t{tile.row} * RowTiles + warp_index()) * kTileRows,
                  int64_t{tile.column} * kTileColumns);
    }
  }
};

// Only where wide_products() says so.
template <Format F, int Parts, int RowTiles, int ColumnTiles>
void wide_product(Stream stream, const Product& p) noexcept {
  using Kernel = WideProduct<F, Parts, RowTiles, ColumnTiles>;
  Kernel kernel;
  kernel.w = p.w;
  kernel.layout = layout_of(F, p.w.rows, p.w.cols);
  kernel.chunks = ceil_div(p.w.cols, kChunk);
  kernel.slices = slices_of(p.w.rows, p.w.cols);
  const int columns = p.tokens * Kernel::kColumns;
  kernel.row_groups = static_cast<int>(ceil_div(kernel.layout.row_tiles, int64_t{RowTiles}));
  kernel.column_groups = ceil_div(columns, Kernel::kTileColumns);
  kernel.column_blocks = ceil_div(columns, kBlockColumns);
  kernel.parts = p.scratch;
  kernel.column_sums = p.scratch + parts_bytes(p.tokens, Parts, p.w.cols);  // if there are any
  kernel.results = {p.bias, p.out, p.accumulate, p.w.rows, p.tokens};
  Shape shape;
  shape.blocks_x =
      std::min(kernel.row_groups * kernel.column_groups, multiprocessors() * Kernel::kMinBlocks);
  shape.threads = Kernel::kThreads;
  shape.shared_bytes = Kernel::kShared;
  launch(stream, shape, kernel);
}

// Whether this GPU, and what was compiled for it, can.
template <Format F, int Parts>
bool wide_products() noexcept {
  return code_version<WideProduct<F, Parts, 8, 16>>() == 90;
}

}  // namespace krait::cuda
