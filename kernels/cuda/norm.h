// RMSNorm by a block of kNormThreads. The order of the sum depends on the number of columns alone:
// thread t adds the squares of columns 4 (t + 256 k) to + 3, a chain for each of the four; then the
// four, the lanes and the warps are added. A thread or warp beyond the columns adds 0, so one warp
// alone gets the same bits from up to kNormWarpCols columns.
#pragma once

#include "kernels/cuda/columns.h"

namespace krait::cuda {

inline constexpr int kNormThreads = 256;
inline constexpr int kNormWarps = kNormThreads / kWarp;
inline constexpr int kNormWarpCols = 4 * kWarp;

KRAIT_DEVICE void add_squares(Float4& sums, const Float4& v) {
  sums.x = multiply_add(v.x, v.x, sums.x);
  sums.y = multiply_add(v.y, v.y, sums.y);
  sums.z = multiply_add(v.z, v.z, sums.z);
  sums.w = multiply_add(v.w, v.w, sums.w);
}

KRAIT_DEVICE float warp_squares(const Float4& sums) {
  return sum_lanes<kWarp>((sums.x + sums.y) + (sums.z + sums.w));
}

// `shared` holds kNormWarps floats that no thread reads or writes any more. Synchronises the block
// once; the same sum in every thread.
KRAIT_DEVICE float block_squares(const Float4& sums, float* shared) {
  const float of_warp = warp_squares(sums);
  if (lane_index() == 0) shared[warp_index()] = of_warp;
  sync_block();
  float sum = shared[0];
  KRAIT_UNROLL
  for (int w = 1; w < kNormWarps; ++w) sum += shared[w];
  return sum;
}

// Of `cols` floats in global or shared memory.
KRAIT_DEVICE float sum_of_squares(const float* row, int64_t cols, float* shared) {
  Float4 sums{0.0f, 0.0f, 0.0f, 0.0f};
  for (int64_t i = 4 * thread_index(); i < cols; i += 4 * kNormThreads)
    add_squares(sums, load_columns(row + i, cols - i));
  return block_squares(sums, shared);
}

KRAIT_DEVICE float norm_scale(float squares, int64_t cols, float eps) {
  // NaN where the squares overflow: zeros would look like an output.
  return reciprocal_root(squares / static_cast<float>(cols) + eps) + (squares - squares);
}

// Four columns of the result; `weight` may be null.
KRAIT_DEVICE Float4 normalise(const Float4& v, float scale, const float* weight, int64_t left) {
  Float4 unit{v.x * scale, v.y * scale, v.z * scale, v.w * scale};
  if (!weight) return unit;
  const Float4 w = load_columns(weight, left);
  return {unit.x * w.x, unit.y * w.y, unit.z * w.z, unit.w * w.w};
}

}  // namespace krait::cuda
