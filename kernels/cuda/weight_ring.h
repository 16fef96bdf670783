// The weights of one warp on their way from memory: a ring of tiles in shared memory, so many of
// them under way that memory never waits for arithmetic, at no cost in registers.
#pragma once

#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

template <Format F>
struct WeightRing {
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kBlocks = TileScales<F>::kBlocks;
  static constexpr int kSmallBytes = !kScaled ? 0 : kBlocks * (F == Format::q6_k ? 16 : 32);
  static constexpr int kSuperBytes = F == Format::q4_k ? 64 : F == Format::q6_k ? 32 : 0;
  static constexpr int kSlotBytes = kTileAll + kSmallBytes + kSuperBytes;
  static constexpr int kSlots = F == Format::f32 ? 8 : 12;
  static constexpr int kBatch = 4;  // tiles that are waited for together
  static constexpr int kBytes = kSlots * kSlotBytes;
  static_assert(kSlots % kBatch == 0);

  std::byte* ring;                           // kBytes of this warp's
  const std::byte *tiles, *scales, *supers;  // of the row tile
  int first, end;                            // its tiles
  int lane;

  // Starts the copies of the first tiles.
  KRAIT_DEVICE void fill() const {
    KRAIT_UNROLL
    for (int i = 0; i < kSlots; ++i) fetch(first + i, i);
  }

  KRAIT_DEVICE void fetch(int tile, int slot) const {
    if (tile < end) {
      std::byte* to = ring + slot * kSlotBytes;
      const std::byte* from = tiles + int64_t{kTileAll} * tile;
      KRAIT_UNROLL
      for (int i = 0; i < loads_per_tile(F); ++i)
        copy_async(to + i * kTileBytes + lane * 16, from + i * kTileBytes + lane * 16);
      if constexpr (kScaled) fetch_scales(tile, to + kTileAll);
    }
    copy_commit();
  }
  KRAIT_DEVICE void fetch_scales(int tile, std::byte* to) const {
    constexpr int kSmall = kSmallBytes / 16, kSuper = kSuperBytes / 16;  // lanes that copy
    if (lane < kSmall) {
      copy_async(to + lane * 16, scales + int64_t{tile} * kSmallBytes + lane * 16);
    } else if (lane < kSmall + kSuper) {
      const int64_t block = int64_t{tile} * tile_cols(F) / 256;
      copy_async(to + lane * 16, supers + block * kSuperBytes + (lane - kSmall) * 16);
    }
  }

  // Calls add(raw tile, its scales, tile) for every tile, in order.
  template <class Add>
  KRAIT_DEVICE void drain(Add&& add) const {
    int slot = 0;
    for (int tile = first; tile < end; tile += kBatch) {
      copy_wait<kSlots - kBatch>();
      if constexpr (kScaled) sync_warp();  // a lane reads scales that others have copied
      KRAIT_UNROLL
      for (int i = 0; i < kBatch; ++i) {
        if (tile + i >= end) break;
        const std::byte* at = ring + (slot + i) * kSlotBytes;
        RawTile<F> raw;
        raw.load_shared(at, lane);
        TileScales<F> tile_scales{};
        if constexpr (kScaled)
          tile_scales.load(at + kTileAll, at + kTileAll + kSmallBytes, 0, lane / 4);
        add(raw, tile_scales, tile + i);
      }
      if constexpr (kScaled) sync_warp();
      KRAIT_UNROLL
      for (int i = 0; i < kBatch; ++i) fetch(tile + i + kSlots, slot + i);
      slot = slot + kBatch == kSlots ? 0 : slot + kBatch;
    }
    copy_wait<0>();
  }
};

}  // namespace krait::cuda
