// d[64][128] += a[64][16] b[16][128] by four warps together: what mma_bf16 does, sixteen columns
// tiles wide. On sm_90a it is one instruction that reads b from shared memory by itself; elsewhere,
// and on the twin, sixteen mma_bf16.
#pragma once

#include "kernels/cuda/device.h"

namespace krait::cuda {

inline constexpr int kWideColumns = 128;
inline constexpr int kColumnBytes = 128;  // 64 values of k
inline constexpr int kColumnsBytes = kWideColumns * kColumnBytes;

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
// After warpgroup_wait(): sums are only touched from here on.
KRAIT_DEVICE void warpgroup_own([[maybe_unused]] float (&sums)[16][4]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  KRAIT_UNROLL
  for (auto& tile : sums)
    asm volatile("" : "+f"(tile[0]), "+f"(tile[1]), "+f"(tile[2]), "+f"(tile[3])::"memory");
#endif
}

// Each warp of the four holds a [its 16 rows] and d [its 16 rows] as mma_bf16 has them, column tile
// by column tile. `columns`: [128][64] bf16 as column_piece() says, 1024-byte aligned; `step` (0 to
// 3): which 16 of the 64. `Fresh`: d begins at 0.
template <bool Fresh = false>
KRAIT_DEVICE void mma_warpgroup(float (&d)[16][4], const uint32_t (&a)[4], const std::byte* columns,
                                int step) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(columns)) + step * 32;
  // Address and distance of groups of eight columns in units of 16 bytes; 128-byte swizzle.
  const uint64_t b = (uint64_t{1} << 62) | (uint64_t{64} << 32) | (uint64_t{1} << 16) |
                     ((address & 0x3ffffu) >> 4);
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
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),
        "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
        "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]),
        "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
        "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),
        "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]), "+f"(d[8][3]),
        "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]), "+f"(d[10][1]),
        "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]),
        "+f"(d[11][3]), "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]),
        "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]), "+f"(d[14][0]),
        "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]), "+f"(d[15][0]), "+f"(d[15][1]),
        "+f"(d[15][2]), "+f"(d[15][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(Fresh ? 0 : 1));
#else
  if constexpr (Fresh) {
    for (auto& tile : d)
      for (float& sum : tile) sum = 0;
  }
  const int lane = lane_index();
  KRAIT_UNROLL
  for (int tile = 0; tile < 16; tile += 2) {
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
