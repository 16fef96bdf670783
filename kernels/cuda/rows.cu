// What works row by row: RMSNorm and the gate.
#include "kernels/cuda/columns.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/norm.h"

namespace krait::cuda {
namespace {

struct Norm {
  Rows x;
  const float* weight;
  int32_t groups, size;  // columns of a group
  float eps;
  int64_t slices;  // rows times groups
  Rows out;

  KRAIT_DEVICE const float* from(int64_t slice) const {
    return x.data + slice / groups * x.stride + slice % groups * size;
  }
  KRAIT_DEVICE void put(int64_t slice, int64_t column, const Float4& v, float scale) const {
    const int64_t first = slice % groups * size + column, left = size - column;
    store_columns(out.data + slice / groups * out.stride + first, left,
                  normalise(v, scale, weight ? weight + first : nullptr, left));
  }
};

// A block for each row and group. x and out may be the same: a thread reads and writes the same
// columns.
struct LongNorm {
  static constexpr int kThreads = kNormThreads;
  static constexpr int kMinBlocks = 4;
  Norm norm;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int64_t slice = block_x();
    const float* row = norm.from(slice);
    const float squares = sum_of_squares(row, norm.size, reinterpret_cast<float*>(shared_memory()));
    const float scale = norm_scale(squares, norm.size, norm.eps);
    for (int64_t i = 4 * thread_index(); i < norm.size; i += 4 * kNormThreads)
      norm.put(slice, i, load_columns(row + i, norm.size - i), scale);
  }
};

// A warp for each row and group of up to kNormWarpCols columns.
struct ShortNorm {
  static constexpr int kThreads = kNormThreads;
  static constexpr int kMinBlocks = 4;
  Norm norm;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int64_t slice = static_cast<int64_t>(block_x()) * kNormWarps + warp_index();
    if (slice >= norm.slices) return;
    const int64_t column = 4 * lane_index();
    const Float4 v = load_columns(norm.from(slice) + column, norm.size - column);
    Float4 sums{0.0f, 0.0f, 0.0f, 0.0f};
    add_squares(sums, v);
    const float scale = norm_scale(warp_squares(sums), norm.size, norm.eps);
    norm.put(slice, column, v, scale);
  }
};

struct Gate {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 8;
  static constexpr int kCols = 4 * kThreads;  // of a block
  Rows x, z, out;
  int64_t cols, blocks_per_row;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int64_t row = block_x() / blocks_per_row;
    const int64_t column = block_x() % blocks_per_row * kCols + 4 * thread_index();
    const int64_t left = cols - column;
    if (left <= 0) return;
    const Float4 a = load_columns(x.data + row * x.stride + column, left);
    const Float4 g = load_columns(z.data + row * z.stride + column, left);
    store_columns(out.data + row * out.stride + column, left,
                  {a.x * silu(g.x), a.y * silu(g.y), a.z * silu(g.z), a.w * silu(g.w)});
  }
};

}  // namespace

void rms_norm(Stream stream, Rows x, const float* weight, int32_t groups, float eps, int32_t tokens,
              int32_t cols, Rows out) noexcept {
  const int64_t slices = static_cast<int64_t>(tokens) * groups;
  if (slices == 0) return;
  const Norm norm{x, weight, groups, cols / groups, eps, slices, out};
  if (norm.size <= kNormWarpCols)
    launch(stream, {ceil_div<int64_t>(slices, kNormWarps), 1, kNormThreads, 0}, ShortNorm{norm});
  else
    launch(stream, {slices, 1, kNormThreads, kNormWarps * sizeof(float)}, LongNorm{norm});
}

void gate(Stream stream, Rows x, Rows z, int32_t tokens, int32_t cols, Rows out) noexcept {
  const int64_t blocks = ceil_div<int64_t>(cols, Gate::kCols);
  if (tokens == 0) return;
  launch(stream, {tokens * blocks, 1, Gate::kThreads, 0}, Gate{x, z, out, cols, blocks});
}

}  // namespace krait::cuda
