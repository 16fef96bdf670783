// A product of bf16 weights for hundreds of tokens and more: blocks of two warpgroups, each with 64
// rows and 128 columns of results in registers (mma_wide.h). Otherwise as product_many.h.
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_wide.h"
#include "kernels/cuda/product_order.h"
#include "kernels/cuda/product_weights.h"

namespace krait::cuda {

template <int Parts>
struct WideProduct {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr int kColumns = columns_per_token(Parts);
  static constexpr int kRowTiles = 8;  // of a block: one of each warp
  static constexpr int kSteps = kChunk / kStep;
  static constexpr int kStages = 4;
  static constexpr int kAhead = 2;  // chunks that are copied before they are used
  static constexpr int kChunkBytes = kSteps * kTileBytes;  // of weights, per row tile
  static constexpr int kActivationBytes = kWideColumns * kColumnBytes;
  static constexpr int kStageBytes = kActivationBytes + kRowTiles * kChunkBytes;
  static constexpr size_t kShared = size_t{kStages} * kStageBytes + 1024;  // aligned by the kernel

  Weights w;
  Layout layout;
  int32_t tokens = 0, padded = 0, slices = 1, chunks = 1;
  const std::byte* parts = nullptr;
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;

  using Sums = float[16][4];

  KRAIT_DEVICE static std::byte* stages() {
    std::byte* shared = shared_memory();
    return shared + (1024 - reinterpret_cast<uintptr_t>(shared) % 1024) % 1024;
  }

  // Starts the copies of one chunk into its stage: activations, then weights.
  KRAIT_DEVICE void fetch(int chunk, std::byte* stage) const {
    const int64_t first = int64_t{block_x()} * kWideColumns;
    KRAIT_UNROLL
    for (int i = thread_index(); i < kWideColumns * 8; i += kThreads) {
      const int column = i / 8, piece = i % 8;
      const bool real = first + column < int64_t{tokens} * kColumns;
      const int64_t byte = ((first + column) * padded + int64_t{chunk} * kChunk) * 2 + piece * 16;
      copy_async(stage + column_piece(column, piece), real ? parts + byte : parts, real);
    }
    const int64_t row_tile = int64_t{block_y()} * kRowTiles;
    std::byte* weights = stage + kActivationBytes;
    KRAIT_UNROLL
    for (int i = thread_index(); i < kRowTiles * kChunkBytes / 16; i += kThreads) {
      const int tile = i * 16 / kChunkBytes, at = i * 16 % kChunkBytes;
      const int64_t byte = int64_t{chunk} * kChunkBytes + at;
      const bool real = row_tile + tile < layout.row_tiles && byte < layout.row_tile_bytes;
      copy_async(weights + i * 16,
                 real ? w.tiles + (row_tile + tile) * layout.row_tile_bytes + byte : w.tiles, real);
    }
  }

  KRAIT_DEVICE static void add_chunk(const std::byte* stage, Sums& sums) {
    const std::byte* weights = stage + kActivationBytes + warp_index() * kChunkBytes;
    RawTile<Format::bf16> raw[kSteps];
    KRAIT_UNROLL
    for (int step = 0; step < kSteps; ++step)
      raw[step].load_shared(weights + step * kTileBytes, lane_index());
    warpgroup_begin();
    KRAIT_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      uint32_t a[1][4];
      weights_of_step<Format::bf16>(raw[step], 0, a);
      mma_warpgroup(sums, a[0], stage, step);
    }
    warpgroup_commit();
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    std::byte* shared = stages();
    KRAIT_UNROLL
    for (int chunk = 0; chunk < kAhead; ++chunk) {
      if (chunk < chunks) fetch(chunk, shared + chunk * kStageBytes);
      copy_commit();
    }
    Sums sums = {}, total = {};
    int slice = 0, slice_end = slice_begin(1, slices, chunks);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      copy_wait<kAhead - 1>();
      publish_shared();
      warpgroup_wait<1>();  // of the chunk before the last, whose stage is filled now
      sync_block();
      const int ahead = chunk + kAhead;
      if (ahead < chunks) fetch(ahead, shared + ahead % kStages * kStageBytes);
      copy_commit();
      add_chunk(shared + chunk % kStages * kStageBytes, sums);
      if (chunk + 1 == slice_end) {
        warpgroup_wait<0>();
        add_slice(sums, total);
        slice_end = slice_begin(++slice + 1, slices, chunks);
      }
    }
    copy_wait<0>();
    finish(total);
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

  KRAIT_DEVICE void put(int64_t row, int64_t token, float sum) const {
    if (row >= w.rows || token >= tokens) return;
    float* at = out.data + token * out.stride + row;
    if (bias) sum += bias[row];
    *at = accumulate ? *at + sum : sum;
  }

  // Step 4 of the order: a lane holds two neighbouring columns.
  KRAIT_DEVICE void finish(const Sums& total) const {
    const int lane = lane_index();
    const int64_t first_row = (int64_t{block_y()} * kRowTiles + warp_index()) * kTileRows;
    KRAIT_UNROLL
    for (int c = 0; c < 16; ++c) {
      const int64_t column = int64_t{block_x()} * kWideColumns + c * 8 + lane % 4 * 2;
      KRAIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int64_t row = first_row + half * 8 + lane / 4;
        const float low = total[c][2 * half], high = total[c][2 * half + 1];
        if constexpr (kColumns == 1) {
          put(row, column, low);
          put(row, column + 1, high);
        } else {
          static_assert(kColumns == 2);
          put(row, column / 2, low + high);
        }
      }
    }
  }
};

template <int Parts>
void wide_product(Stream stream, const Product& p) noexcept {
  using Kernel = WideProduct<Parts>;
  Kernel kernel;
  kernel.w = p.w;
  kernel.layout = layout_of(Format::bf16, p.w.rows, p.w.cols);
  kernel.tokens = p.tokens;
  kernel.chunks = ceil_div(p.w.cols, kChunk);
  kernel.padded = kernel.chunks * kChunk;
  kernel.slices = slices_of(p.w.rows, p.w.cols);
  kernel.parts = p.scratch;
  kernel.bias = p.bias;
  kernel.out = p.out;
  kernel.accumulate = p.accumulate;
  Shape shape;
  shape.blocks_x = ceil_div(int64_t{p.tokens} * Kernel::kColumns, int64_t{kWideColumns});
  shape.blocks_y = ceil_div(kernel.layout.row_tiles, int64_t{Kernel::kRowTiles});
  shape.threads = Kernel::kThreads;
  shape.shared_bytes = Kernel::kShared;
  launch(stream, shape, kernel);
}

}  // namespace krait::cuda
