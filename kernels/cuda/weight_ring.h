// The weights of one warp on their way from memory: a ring of chunks (64 columns of a row tile,
// with their scales) in shared memory, so many of them under way that memory never waits for
// arithmetic. From compute capability 9.0 on one lane asks for a chunk with a few bulk copies.
#pragma once

#include "kernels/cuda/bulk_copy.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

template <Format F>
struct WeightRing {
  static constexpr bool kScaled = steps_per_scale(F) > 0;
  static constexpr int kTileAll = loads_per_tile(F) * kTileBytes;
  static constexpr int kChunkTiles = kChunk / tile_cols(F);
  static constexpr int kWeightBytes = kChunkTiles * kTileAll;
  static constexpr int kScaleBytes = kScaled ? 64 : 0;
  static constexpr int kSuperBytes = F == Format::q4_k ? 64 : F == Format::q6_k ? 32 : 0;
  static constexpr int kSlotBytes = kWeightBytes + kScaleBytes + kSuperBytes;
  static constexpr int kSlots = kWeightBytes >= 2048 ? 3 : kWeightBytes == 1024 ? 6 : 8;
  static constexpr int kBytes = kSlots * kSlotBytes + (kSlots * 8 + 15) / 16 * 16;

  std::byte* ring;                           // kBytes of this warp's: the slots, then barriers
  const std::byte *tiles, *scales, *supers;  // of the row tile
  int first, end;                            // its chunks
  int row_tiles_k, row_scale_bytes;          // tiles and bytes of scales in the row tile
  int lane;

  KRAIT_DEVICE std::byte* slot(int i) const { return ring + i * kSlotBytes; }
  KRAIT_DEVICE CopyBarrier* barrier(int i) const {
    return reinterpret_cast<CopyBarrier*>(ring + kSlots * kSlotBytes) + i;
  }
  KRAIT_DEVICE int tiles_of(int chunk) const {
    return static_cast<int>(at_most(kChunkTiles, row_tiles_k - chunk * kChunkTiles));
  }

  // Starts the copies of the first chunks.
  KRAIT_DEVICE void fill() const {
    if (kBulkCopies && lane == 0) {
      KRAIT_UNROLL
      for (int i = 0; i < kSlots; ++i) barrier_init(barrier(i), 1);
      publish_barriers();
    }
    if (kBulkCopies) sync_warp();
    KRAIT_UNROLL
    for (int i = 0; i < kSlots; ++i) fetch(first + i, i);
  }

  KRAIT_DEVICE void fetch(int chunk, int i) const {
    if constexpr (kBulkCopies) {
      if (lane == 0 && chunk < end) fetch_in_bulk(chunk, slot(i), barrier(i));
    } else {
      if (chunk < end) fetch_together(chunk, slot(i));
      copy_commit();
    }
  }

  KRAIT_DEVICE void fetch_in_bulk(int chunk, std::byte* to, CopyBarrier* arrived) const {
    const int weights = tiles_of(chunk) * kTileAll;
    const int small = scale_bytes_of(chunk);
    barrier_arrive_expecting(arrived, weights + small + kSuperBytes);
    bulk_copy(to, tiles + int64_t{chunk} * kWeightBytes, weights, arrived);
    if constexpr (kScaled)
      bulk_copy(to + kWeightBytes, scales + int64_t{chunk} * kScaleBytes, small, arrived);
    if constexpr (kSuperBytes > 0)
      bulk_copy(to + kWeightBytes + kScaleBytes, supers + int64_t{chunk / 4} * kSuperBytes,
                kSuperBytes, arrived);
  }
  KRAIT_DEVICE int scale_bytes_of(int chunk) const {
    return kScaled ? static_cast<int>(at_most(kScaleBytes, row_scale_bytes - chunk * kScaleBytes))
                   : 0;
  }

  // The same by all lanes, 16 bytes each at a time.
  KRAIT_DEVICE void fetch_together(int chunk, std::byte* to) const {
    copy_lanes(to, tiles + int64_t{chunk} * kWeightBytes, tiles_of(chunk) * kTileAll);
    if constexpr (kScaled)
      copy_lanes(to + kWeightBytes, scales + int64_t{chunk} * kScaleBytes, scale_bytes_of(chunk));
    if constexpr (kSuperBytes > 0)
      copy_lanes(to + kWeightBytes + kScaleBytes, supers + int64_t{chunk / 4} * kSuperBytes,
                 kSuperBytes);
  }
  KRAIT_DEVICE void copy_lanes(std::byte* to, const std::byte* from, int bytes) const {
    for (int at = lane * 16; at < bytes; at += kWarp * 16) copy_async(to + at, from + at);
  }

  // Calls add(slot, chunk, tiles of it) for every chunk, in order.
  template <class Add>
  KRAIT_DEVICE void drain(Add&& add) const {
    int i = 0, parity = 0;
    for (int chunk = first; chunk < end; ++chunk) {
      if constexpr (kBulkCopies)
        barrier_wait(barrier(i), parity);
      else
        copy_wait<kSlots - 1>();
      if constexpr (!kBulkCopies) sync_warp();
      add(slot(i), chunk, tiles_of(chunk));
      sync_warp();  // all lanes have read the slot
      fetch(chunk + kSlots, i);
      if (++i == kSlots) {
        i = 0;
        parity ^= 1;
      }
    }
    if constexpr (!kBulkCopies) copy_wait<0>();
  }
};

}  // namespace krait::cuda
