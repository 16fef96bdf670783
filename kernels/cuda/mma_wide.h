// d[64][N] += a[64][16] b[16][N], N = 128 or 192, by four warps together: what mma_bf16 does, many
// column tiles wide. On sm_90a it is one instruction that reads b from shared memory by itself;
// elsewhere, and on the twin, N / 8 mma_bf16.
#pragma once

#include "kernels/cuda/device.h"

namespace krait::cuda {

inline constexpr int kColumnBytes = 128;  // 64 values of k

// Where bytes [16 i, 16 i + 16) of a column lie: the order that spreads the rows of a matrix over
// the banks, and that the instruction knows as 128-byte swizzle.
KRAIT_DEVICE int column_piece(int column, int i) {
  return column * kColumnBytes + (i ^ column % 8) * 16;
}

// What mma_warpgroup() needs around it where it runs in the background (sm_90a): before the first
// of a group, that its operands are ready; after the last, that it ends here; and until all groups
// but the last N have ended, whose operands and sums no one may touch before.
KRAIT_DEVICE void warpgroup_begin() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
KRAIT_DEVICE void warpgroup_commit() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int N>
KRAIT_DEVICE void warpgroup_wait() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#endif
}
// A warpgroup's registers for each thread, of those that all the block's began with: the more for
// some, the fewer for others. Multiples of 8.
template <int N>
KRAIT_DEVICE void warpgroup_more_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#endif
}
template <int N>
KRAIT_DEVICE void warpgroup_fewer_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#endif
}
// Before warpgroup_begin(): operands are computed up to here.
KRAIT_DEVICE void warpgroup_own([[maybe_unused]] uint32_t (&a)[4]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
#endif
}
// After warpgroup_wait(): the operands were needed up to here. The compiler takes them for read
// when a product begins, and would give their registers to other values while it still runs. So
// this uses them, in a store that never happens: no sum is that NaN. `spare`: 16 bytes of shared
// memory.
KRAIT_DEVICE void warpgroup_keep([[maybe_unused]] const uint32_t (&a)[4],
                                 [[maybe_unused]] float sum, [[maybe_unused]] std::byte* spare) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      "{\n"
      ".reg .pred never;\n"
      "setp.eq.u32 never, %0, 0x7f812345;\n"
      "@never st.shared.v4.b32 [%1], {%2, %3, %4, %5};\n"
      "}" ::"r"(__float_as_uint(sum)),
      "r"(static_cast<uint32_t>(__cvta_generic_to_shared(spare))), "r"(a[0]), "r"(a[1]), "r"(a[2]),
      "r"(a[3])
      : "memory");
#endif
}
template <int Tiles>
KRAIT_DEVICE void warpgroup_own([[maybe_unused]] float (&sums)[Tiles][4]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  KRAIT_UNROLL
  for (auto& tile : sums)
    asm volatile("" : "+f"(tile[0]), "+f"(tile[1]), "+f"(tile[2]), "+f"(tile[3])::"memory");
#endif
}

// Each warp of the four holds a [its 16 rows] and d [its 16 rows] as mma_bf16 has them, column tile
// by column tile: 16 or 24 of them. `columns`: [Tiles * 8][64] bf16 as column_piece() says,
// 1024-byte aligned; `step` (0 to 3): which 16 of the 64. `Fresh`: d begins at 0.
template <bool Fresh, int Tiles>
KRAIT_DEVICE void mma_warpgroup(float (&d)[Tiles][4], const uint32_t (&a)[4],
                                const std::byte* columns, int step) {
  static_assert(Tiles == 16 || Tiles == 24);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(columns)) + step * 32;
  // Address and distance of groups of eight columns in units of 16 bytes; 128-byte swizzle.
  const uint64_t b = (uint64_t{1} << 62) | (uint64_t{64} << 32) | (uint64_t{1} << 16) |
                     ((address & 0x3ffffu) >> 4);
  // clang-format off
#define KRAIT_TILE(t) "+f"(d[t][0]), "+f"(d[t][1]), "+f"(d[t][2]), "+f"(d[t][3])
  if constexpr (Tiles == 16)
    asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, %69, 1, 1, 0;"
      : KRAIT_TILE(0), KRAIT_TILE(1), KRAIT_TILE(2), KRAIT_TILE(3), KRAIT_TILE(4), KRAIT_TILE(5), KRAIT_TILE(6), KRAIT_TILE(7), KRAIT_TILE(8), KRAIT_TILE(9), KRAIT_TILE(10), KRAIT_TILE(11), KRAIT_TILE(12), KRAIT_TILE(13), KRAIT_TILE(14), KRAIT_TILE(15)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(Fresh ? 0 : 1));
  else
    asm volatile(
      "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, "
      "%88, %89, %90, %91, %92, %93, %94, %95}, "
      "{%96, %97, %98, %99}, %100, %101, 1, 1, 0;"
      : KRAIT_TILE(0), KRAIT_TILE(1), KRAIT_TILE(2), KRAIT_TILE(3), KRAIT_TILE(4), KRAIT_TILE(5), KRAIT_TILE(6), KRAIT_TILE(7), KRAIT_TILE(8), KRAIT_TILE(9), KRAIT_TILE(10), KRAIT_TILE(11), KRAIT_TILE(12), KRAIT_TILE(13), KRAIT_TILE(14), KRAIT_TILE(15), KRAIT_TILE(16), KRAIT_TILE(17), KRAIT_TILE(18), KRAIT_TILE(19), KRAIT_TILE(20), KRAIT_TILE(21), KRAIT_TILE(22), KRAIT_TILE(23)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(Fresh ? 0 : 1));
#undef KRAIT_TILE
    // clang-format on
#else
  if constexpr (Fresh) {
    for (auto& tile : d)
      for (float& sum : tile) sum = 0;
  }
  const int lane = lane_index();
  KRAIT_UNROLL
  for (int tile = 0; tile < Tiles; tile += 2) {
    uint32_t four[4];
    load_matrices(
        four, columns + column_piece(tile * 8 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
    const uint32_t low[2] = {four[0], four[1]}, high[2] = {four[2], four[3]};
    mma_bf16(d[tile], a, low);
    mma_bf16(d[tile + 1], a, high);
  }
#endif
}

}  // namespace krait::cuda
