// The thin layer that kernels are written over. nvcc compiles it to the instructions of the GPU;
// any other compiler gets the twin (kernels/cuda/twin): the same functions on emulated blocks of
// threads, so that every kernel also runs, and is tested, on machines without a GPU.
//
// A kernel is a struct of its arguments:
//
//   struct Scale {
//     static constexpr int kThreads = 256;   // the most threads of a block
//     static constexpr int kMinBlocks = 2;   // blocks that must fit on a multiprocessor at once
//     float* data; float factor; int64_t count;
//     KRAIT_DEVICE void operator()() const;  // what every thread does
//   };
//
// started by launch() of kernels/cuda/launch.h. Code outside this folder never sees it.
//
// Collectives (shuffle_xor, shuffle, mma_bf16, sync_warp, sync_block) are called by all threads of
// the warp or block together. No operation contracts a * b + c on its own (-fmad=false): where one
// rounding is meant, write multiply_add(), so that two kernels that do the same sum get the same
// bits.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/types.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define KRAIT_DEVICE __device__ __forceinline__
#define KRAIT_UNROLL _Pragma("unroll")
#define KRAIT_UNROLL_4 _Pragma("unroll 4")
#else
#include "kernels/cuda/twin/twin.h"
#define KRAIT_DEVICE inline
#define KRAIT_UNROLL
#define KRAIT_UNROLL_4
#endif

namespace krait::cuda {

#if defined(__CUDACC__)

// ---- where this thread is ---------------------------------------------------------------------
KRAIT_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
KRAIT_DEVICE int thread_count() { return static_cast<int>(blockDim.x); }
KRAIT_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
KRAIT_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
KRAIT_DEVICE int blocks_x() { return static_cast<int>(gridDim.x); }
KRAIT_DEVICE int blocks_y() { return static_cast<int>(gridDim.y); }
KRAIT_DEVICE int lane_index() { return thread_index() % kWarp; }
KRAIT_DEVICE int warp_index() { return thread_index() / kWarp; }

// ---- memory of the block ----------------------------------------------------------------------
// The bytes asked for at launch, 16-byte aligned, not initialised.
KRAIT_DEVICE std::byte* shared_memory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<std::byte*>(bytes);
}

// ---- collectives ------------------------------------------------------------------------------
KRAIT_DEVICE void sync_block() { __syncthreads(); }
KRAIT_DEVICE void sync_warp() { __syncwarp(); }
KRAIT_DEVICE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
KRAIT_DEVICE uint32_t shuffle_xor(uint32_t value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
KRAIT_DEVICE float shuffle(float value, int from_lane) {
  return __shfl_sync(0xffffffffu, value, from_lane);
}
KRAIT_DEVICE uint32_t shuffle(uint32_t value, int from_lane) {
  return __shfl_sync(0xffffffffu, value, from_lane);
}

// d[16][8] += a[16][16] b[16][8] in bf16 with float32 sums (PTX mma.m16n8k16). With g = lane / 4
// and i = lane % 4 * 2 a lane holds
//   a[0] = a[g][i, i+1]  a[1] = a[g+8][i, i+1]  a[2] = a[g][i+8, i+9]  a[3] = a[g+8][i+8, i+9]
//   b[0] = b[i, i+1][g]  b[1] = b[i+8, i+9][g]
//   d[0], d[1] = d[g][i, i+1]   d[2], d[3] = d[g+8][i, i+1]
// the first of each pair in the low half.
KRAIT_DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8x8 matrices of 16-bit values from shared memory: lane l gives the address of a row of 16
// bytes, row l % 8 of matrix l / 8, and receives the pair l % 4 of row l / 4 of each of them.
KRAIT_DEVICE void load_matrices(uint32_t (&out)[4], const std::byte* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}

// ---- loads and copies -------------------------------------------------------------------------
// Weights: read once, past the first-level cache.
KRAIT_DEVICE Word4 load_stream(const void* from) {
  Word4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}
// 16 bytes from global to shared memory, in the background. Copies are grouped by copy_commit();
// copy_wait<N>() waits for this thread's groups but the last N. `valid` = false writes zeros.
KRAIT_DEVICE void copy_async(std::byte* to, const void* from, bool valid = true) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes)
               : "memory");
}
KRAIT_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
KRAIT_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- order between kernels of a stream (programmatic dependent launch) -------------------------
// What kernels before this one wrote may be read, and what they read may be written, only after
// wait_for_predecessor(). Every thread of every kernel calls it, once. Weights may be read before.
KRAIT_DEVICE void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// From here on the next kernel may occupy multiprocessors that this one leaves free.
KRAIT_DEVICE void release_successor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// ---- order between blocks ---------------------------------------------------------------------
// Adds with release and acquire: what this thread wrote before is seen by whoever sees the sum.
KRAIT_DEVICE uint32_t add_and_order(uint32_t* counter, uint32_t value) {
  uint32_t before;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(counter), "r"(value)
               : "memory");
  return before;
}

// ---- conversions ------------------------------------------------------------------------------
// Two floats rounded to bf16, to nearest, ties to even: `low` in the low half.
KRAIT_DEVICE uint32_t pack_bf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
KRAIT_DEVICE float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }
KRAIT_DEVICE uint32_t bits_of_float(float value) { return __float_as_uint(value); }
KRAIT_DEVICE float f32_of_f16(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
// Bytes of {a, b} chosen by the nibbles of `selector`: 0-3 are a's, 4-7 are b's.
KRAIT_DEVICE uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  return __byte_perm(a, b, selector);
}

// ---- arithmetic -------------------------------------------------------------------------------
// a * b + c with one rounding.
KRAIT_DEVICE float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
// 2^x, within 2 ulp; 0 where that is below 2^-126.
KRAIT_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// a / b, within 2 ulp; 0 where that is below 2^-126 or |b| above 2^126.
KRAIT_DEVICE float divide_fast(float a, float b) {
  float quotient;
  asm("div.approx.ftz.f32 %0, %1, %2;" : "=f"(quotient) : "f"(a), "f"(b));
  return quotient;
}
KRAIT_DEVICE float reciprocal_root(float x) { return __frsqrt_rn(x); }
// Sums of two pairs of bf16, rounded to bf16.
KRAIT_DEVICE uint32_t add_bf16(uint32_t a, uint32_t b) {
  constexpr uint32_t kOnes = 0x3f803f80u;
  uint32_t sum;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(kOnes), "r"(b));
  return sum;
}
#endif  // the twin declares the same functions

// ---- sums and words that are not in the order of threads
// -----------------------------------------
#if defined(__CUDACC__)
// Adds to a word in shared memory; returns what it held.
KRAIT_DEVICE uint32_t add_shared(uint32_t* word, uint32_t value) { return atomicAdd(word, value); }
// To host memory, which the host may be reading: what this thread wrote before is seen by whoever
// sees the word.
KRAIT_DEVICE void store_for_host(uint64_t* to, uint64_t value) {
  asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(to), "l"(value) : "memory");
}
// sync_block(), and the number of threads for which it holds. `scratch`: a word per warp in shared
// memory.
KRAIT_DEVICE uint32_t count_block(bool holds, uint32_t*) {
  return static_cast<uint32_t>(__syncthreads_count(holds ? 1 : 0));
}
#else
inline uint32_t add_shared(uint32_t* word, uint32_t value) {
  const uint32_t before = *word;
  *word += value;
  return before;
}
inline void store_for_host(uint64_t* to, uint64_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}
inline uint32_t count_block(bool holds, uint32_t* scratch) {
  uint32_t count = holds ? 1 : 0;
  for (int mask = 1; mask < kWarp; mask *= 2) count += shuffle_xor(count, mask);
  if (lane_index() == 0) scratch[warp_index()] = count;
  sync_block();
  count = 0;
  for (int warp = 0; warp < thread_count() / kWarp; ++warp) count += scratch[warp];
  sync_block();
  return count;
}
#endif

// ---- the same on both ---------------------------------------------------------------------------
KRAIT_DEVICE float low_bf16(uint32_t pair) { return float_of_bits(pair << 16); }
KRAIT_DEVICE float high_bf16(uint32_t pair) { return float_of_bits(pair & 0xffff0000u); }

KRAIT_DEVICE Float2 load2(const float* from) { return *reinterpret_cast<const Float2*>(from); }
KRAIT_DEVICE Float4 load4(const float* from) { return *reinterpret_cast<const Float4*>(from); }

KRAIT_DEVICE int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
template <class T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

// Sum over the lanes of groups of `width` (a power of two), the same bits in every lane.
template <int width>
KRAIT_DEVICE float sum_lanes(float value) {
  KRAIT_UNROLL
  for (int mask = 1; mask < width; mask *= 2) value += shuffle_xor(value, mask);
  return value;
}

// x * sigmoid(x).
KRAIT_DEVICE float silu(float x) { return divide_fast(x, 1.0f + expf(-x)); }
// log(1 + e^x), which in float32 is x itself above 20, as PyTorch has it: max(x, 0) + log(1 + e) of
// e = e^-|x|, the latter as 2 atanh(s) of s = e / (2 + e), at most 1/3. Without branches, so that
// several go side by side.
KRAIT_DEVICE float softplus(float x) {
  const float e = expf(-fabsf(x)), s = divide_fast(e, 2.0f + e), s2 = s * s;
  float p = multiply_add(0x1.1ef878p-3f, s2, 0x1.1eb610p-3f);
  p = multiply_add(p, s2, 0x1.99d27cp-3f);
  p = multiply_add(p, s2, 0x1.555500p-2f);
  const float twice = s + s;
  return fmaxf(x, 0.0f) + multiply_add(twice * s2, p, twice);
}

}  // namespace krait::cuda
