// Rows of a weight matrix as floats: the inverse of layout.h, one value at a time.
#include <algorithm>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product_weights.h"
#include "kernels/cuda/with_format.h"

namespace krait::cuda {
namespace {

// Where value v (0 to 7) of a lane of a step lies, for row r and column k inside the step.
struct Place {
  int lane, v;
};
KRAIT_DEVICE Place place_of(int r, int k) {
  return {r % 8 * 4 + k % 8 / 2, k / 8 * 4 + r / 8 * 2 + k % 2};
}

template <Format F>
struct Embed {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 4;
  Weights table;
  Layout layout;
  const int32_t* ids = nullptr;
  int32_t tokens = 0;
  Rows out;

  KRAIT_DEVICE float value(int64_t row, int k) const {
    const int64_t row_tile = row / kTileRows;
    const int r = static_cast<int>(row % kTileRows), in_tile = k % tile_cols(F);
    const Place at = place_of(r, in_tile % kStep);
    const std::byte* tile = table.tiles + row_tile * layout.row_tile_bytes +
                            int64_t{k / tile_cols(F)} * loads_per_tile(F) * kTileBytes;
    if constexpr (F == Format::f32)
      return reinterpret_cast<const float*>(tile + at.v / 4 * kTileBytes)[at.lane * 4 + at.v % 4];
    if constexpr (F == Format::f16 || F == Format::bf16) {
      const uint16_t bits = reinterpret_cast<const uint16_t*>(tile)[at.lane * 8 + at.v];
      return F == Format::f16 ? f32_of_f16(bits) : float_of_bits(uint32_t{bits} << 16);
    }
    const std::byte* scales = table.scales + row_tile * layout.scales_stride();
    const std::byte* supers = scales + layout.scale_bytes;
    const Scale pair = scale_of<F>(scales, supers, k / kStep, r % 8);
    const float scale = r < 8 ? pair.low : pair.high;
    const std::byte* lane = tile + at.lane * 16;
    if constexpr (F == Format::q8_0 || F == Format::q6_k)
      return scale * static_cast<float>(static_cast<int>(lane[in_tile / kStep * 8 + at.v]) - 128);
    const uint32_t word = reinterpret_cast<const uint32_t*>(lane)[in_tile / kStep];
    const int level = static_cast<int>(word >> (4 * (at.v % 2 * 4 + at.v / 2)) & 15u);
    if constexpr (F == Format::q4_0) return scale * static_cast<float>(level - 8);
    return scale * static_cast<float>(level) - (r < 8 ? pair.min_low : pair.min_high);
  }

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int token = block_y();
    const int64_t row = ids[token];
    for (int k = block_x() * kThreads + thread_index(); k < table.cols; k += blocks_x() * kThreads)
      out.data[token * out.stride + k] = value(row, k);
  }
};

template <Format F>
void embed_as(Stream stream, const Weights& table, const int32_t* ids, int32_t tokens,
              Rows out) noexcept {
  Embed<F> kernel;
  kernel.table = table;
  kernel.layout = layout_of(F, table.rows, table.cols);
  kernel.ids = ids;
  kernel.tokens = tokens;
  kernel.out = out;
  launch(stream, {ceil_div(table.cols, kernel.kThreads), tokens, kernel.kThreads, 0}, kernel);
}

}  // namespace

void embed(Stream stream, const Weights& table, const int32_t* ids, int32_t tokens,
           Rows out) noexcept {
  with_format(table.format, [&]<Format F>() { embed_as<F>(stream, table, ids, tokens, out); });
}

}  // namespace krait::cuda
