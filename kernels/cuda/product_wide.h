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
template <Format F, int ColumnTiles>
struct WideStage {
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kRowTiles = 8;
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kWeightBytes = kChunk / tile_cols(F) * kTileAll;  // of a row tile
  static constexpr int kScaleBytes = kScaled ? 64 : 0;                   // of a row tile
  static constexpr int kSuperBytes = F == Format::q4_k ? 64 : F == Format::q6_k ? 32 : 0;
  static constexpr int kColumnSumBytes = F == Format::q4_k ? kColumnSumsBytes : 0;  // of a block
  static constexpr int kBlocks = ColumnTiles * 8 / kBlockColumns;
  static constexpr int kWeights = kBlocks * kBlockBytes;
  static constexpr int kScales = kWeights + kRowTiles * kWeightBytes;
  static constexpr int kColumnSums = kScales + kRowTiles * (kScaleBytes + kSuperBytes);
  static constexpr int kBytes = (kColumnSums + kBlocks * kColumnSumBytes + 1023) / 1024 * 1024;
  static constexpr int kCount = std::min((225 << 10) / kBytes, 8);
};

template <Format F, int Parts, int ColumnTiles>
struct WideProduct {
  using Stage = WideStage<F, ColumnTiles>;
  static constexpr bool kScaled = Stage::kScaled;
  static constexpr int kConsumers = Stage::kRowTiles;  // warps; four more bring the chunks
  static constexpr int kThreads = (kConsumers + 4) * kWarp;
  static constexpr int kMinBlocks = 1;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kWeightParts = weight_parts(F);
  // The steps of a chunk are multiplied in groups, between which sums come to rest.
  static constexpr int kGroupSteps = kScaled ? steps_per_scale(F) : 4 / (kWeightParts / 2 * 2 + 1);
  static constexpr int kGroups = kChunk / kStep / kGroupSteps;
  static constexpr size_t kShared =
      1024 + size_t{Stage::kCount} * (Stage::kBytes + 2 * sizeof(CopyBarrier));
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
    KRAIT_DEVICE void advance() {
      if (++at < Stage::kCount) return;
      at = 0;
      parity ^= 1;
    }
  };

  struct Tile {
    int row, column;  // groups of kRowTiles and of kTileColumns
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
        warpgroup_more_registers<232>();
        consume(ring);
      } else {
        warpgroup_fewer_registers<40>();
        const int producer = warp_index() - kConsumers;
        if (producer < kProducers && lane_index() == 0) produce(ring, producer);
      }
    }
  }

  // ---- the threads that copy --------------------------------------------------------------------

  static constexpr int kProducers = kScaled ? 2 : 1;

  KRAIT_DEVICE void produce(Ring ring, int producer) const {
    order_bulk_copies();
    for (int i = block_x(); i < tiles(); i += blocks_x()) {
      const Tile tile = tile_at(i);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        barrier_wait(ring.empty(ring.at), ring.parity ^ 1);
        if (producer == 0)
          fetch(ring.stage(), tile, chunk, ring.full(ring.at));
        else
          fetch_scales(ring.stage(), tile, chunk, ring.full(ring.at));
        ring.advance();
      }
    }
  }

  KRAIT_DEVICE int row_tiles_of(int row_group) const {
    return static_cast<int>(
        at_most(Stage::kRowTiles, layout.row_tiles - int64_t{row_group} * Stage::kRowTiles));
  }

  KRAIT_DEVICE int blocks_of(int column_group) const {
    return static_cast<int>(at_most(Stage::kBlocks, column_blocks - column_group * Stage::kBlocks));
  }

  KRAIT_DEVICE void fetch(std::byte* stage, const Tile& tile, int chunk, CopyBarrier* full) const {
    const int row_tiles = row_tiles_of(tile.row), blocks = blocks_of(tile.column);
    const int64_t at = int64_t{chunk} * Stage::kWeightBytes;
    const int bytes = static_cast<int>(at_most(Stage::kWeightBytes, layout.row_tile_bytes - at));
    barrier_arrive_expecting(full, blocks * kBlockBytes + row_tiles * bytes);
    const std::byte* columns =
        parts + parts_offset(int64_t{tile.column} * kTileColumns, chunk, chunks);
    for (int b = 0; b < blocks; ++b)
      bulk_copy(stage + b * kBlockBytes, columns + int64_t{b} * chunks * kBlockBytes, kBlockBytes,
                full);
    const std::byte* from =
        w.tiles + int64_t{tile.row} * Stage::kRowTiles * layout.row_tile_bytes + at;
    for (int r = 0; r < row_tiles; ++r, from += layout.row_tile_bytes)
      bulk_copy(stage + Stage::kWeights + r * Stage::kWeightBytes, from, bytes, full);
  }

  KRAIT_DEVICE void fetch_scales(std::byte* stage, const Tile& tile, int chunk,
                                 CopyBarrier* full) const {
    const int row_tiles = row_tiles_of(tile.row), blocks = blocks_of(tile.column);
    const int64_t at = int64_t{chunk} * Stage::kScaleBytes;
    const int bytes = static_cast<int>(at_most(Stage::kScaleBytes, layout.scale_bytes - at));
    barrier_arrive_expecting(
        full, row_tiles * (bytes + Stage::kSuperBytes) + blocks * Stage::kColumnSumBytes);
    const std::byte* from =
        w.scales + int64_t{tile.row} * Stage::kRowTiles * layout.scales_stride();
    std::byte* to = stage + Stage::kScales;
    for (int r = 0; r < row_tiles; ++r) {
      bulk_copy(to, from + at, bytes, full);
      if constexpr (Stage::kSuperBytes > 0)
        bulk_copy(to + Stage::kScaleBytes,
                  from + layout.scale_bytes + chunk / 4 * Stage::kSuperBytes, Stage::kSuperBytes,
                  full);
      from += layout.scales_stride();
      to += Stage::kScaleBytes + Stage::kSuperBytes;
    }
    if constexpr (Stage::kColumnSumBytes > 0) {
      for (int b = 0; b < blocks; ++b) {
        const int64_t block = int64_t{tile.column} * Stage::kBlocks + b;
        bulk_copy(stage + Stage::kColumnSums + b * Stage::kColumnSumBytes,
                  column_sums + (block * chunks + chunk) * Stage::kColumnSumBytes,
                  Stage::kColumnSumBytes, full);
      }
    }
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

  // While a group is multiplied, the next one is loaded; it is unpacked afterwards, as registers
  // that will be operands must not change under way.
  KRAIT_DEVICE void consume(Ring ring) const {
    for (int i = block_x(); i < tiles(); i += blocks_x()) {
      Sums sums = {}, block, total = {};
      RawGroup now, next;
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
            if (group + 1 < kGroups) {
              load(stage, group + 1, steps_of(chunk), next);
            } else {
              ring.advance();
              next = now;
              if (chunk + 1 < chunks) {
                barrier_wait(ring.full(ring.at), ring.parity);
                load(ring.stage(), 0, steps_of(chunk + 1), next);
              }
            }
            warpgroup_wait<0>();
            warpgroup_own(target);
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
      results.put(total, (int64_t{tile.row} * Stage::kRowTiles + warp_index()) * kTileRows,
                  int64_t{tile.column} * kTileColumns);
    }
  }
};

template <Format F, int Parts, int ColumnTiles>
WideProduct<F, Parts, ColumnTiles> wide_kernel(const Product& p) noexcept {
  using Kernel = WideProduct<F, Parts, ColumnTiles>;
  Kernel kernel;
  kernel.w = p.w;
  kernel.layout = layout_of(F, p.w.rows, p.w.cols);
  kernel.chunks = ceil_div(p.w.cols, kChunk);
  kernel.slices = slices_of(p.w.rows, p.w.cols);
  const int columns = p.tokens * Kernel::kColumns;
  kernel.row_groups =
      static_cast<int>(ceil_div(kernel.layout.row_tiles, int64_t{Kernel::kConsumers}));
  kernel.column_groups = ceil_div(columns, Kernel::kTileColumns);
  kernel.column_blocks = ceil_div(columns, kBlockColumns);
  kernel.parts = p.scratch;
  kernel.results = {p.bias, p.out, p.accumulate, p.w.rows, p.tokens};
  return kernel;
}

template <class Kernel>
void launch_wide(Stream stream, const Kernel& kernel) noexcept {
  Shape shape;
  shape.blocks_x = std::min(kernel.row_groups * kernel.column_groups, multiprocessors());
  shape.threads = Kernel::kThreads;
  shape.shared_bytes = Kernel::kShared;
  launch(stream, shape, kernel);
}

// False, and nothing is done, where the GPU or what was compiled for it cannot.
template <Format F, int Parts>
bool wide_product(Stream stream, const Product& p) noexcept {
  using Kernel = WideProduct<F, Parts, 16>;
  if (code_version<Kernel>() != 90) return false;
  Kernel kernel = wide_kernel<F, Parts, 16>(p);
  if constexpr (F == Format::q4_k) {
    std::byte* sums = p.scratch + parts_bytes(p.tokens, Parts, p.w.cols);
    kernel.column_sums = sums;
    sum_columns(stream, p.scratch, kernel.column_blocks, kernel.chunks, sums);
  }
  launch_wide(stream, kernel);
  return true;
}

}  // namespace krait::cuda
