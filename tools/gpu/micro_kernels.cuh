// The kernels that micro_costs.cu times.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cooperative_groups.h>
#include <cuda_runtime.h>

namespace {

namespace cg = cooperative_groups;

// ---- reading ----------------------------------------------------------------------------------
__global__ void fill(uint4* data, size_t count) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count;
       i += size_t{gridDim.x} * blockDim.x) {
    const auto x = static_cast<uint32_t>(i * 2654435761u);
    data[i] = {x, x ^ 0x9e3779b9u, x * 747796405u, ~x};
  }
}

__device__ uint4 load_stream(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}
__device__ uint32_t folded(uint4 v) { return v.x ^ v.y ^ v.z ^ v.w; }

// `loads` of 16 bytes in flight per thread.
template <int loads>
__global__ void read_plain(const uint4* data, size_t count, uint32_t* sink) {
  uint32_t sum = 0;
  const size_t step = size_t{gridDim.x} * blockDim.x * loads;
  for (size_t base = size_t{blockIdx.x} * blockDim.x * loads + threadIdx.x; base < count;
       base += step) {
    uint4 v[loads];
#pragma unroll
    for (int i = 0; i < loads; ++i) v[i] = load_stream(data + base + size_t{blockDim.x} * i);
#pragma unroll
    for (int i = 0; i < loads; ++i) sum ^= folded(v[i]);
  }
  if (sum == 0x12345678u) *sink = sum;  // so that the loads are not left out
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
__device__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
__device__ void wait_barrier(uint64_t* barrier, uint32_t parity) {
  uint32_t done = 0;
  while (done == 0)
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
}
__device__ void start_copy(void* to, const void* from, uint32_t bytes, uint64_t* barrier) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}
#endif

// A ring of `slots` in shared memory, filled by bulk copies that one thread starts, emptied by the
// others: what a persistent kernel would do with its weights. A block has every gridDim.x-th piece.
__global__ void read_bulk(const char* data, size_t pieces, uint32_t piece_bytes, int slots,
                          uint32_t* sink) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) char ring[];
  __shared__ uint64_t full[64], empty[64];
  const int consumers = static_cast<int>(blockDim.x) - 32;
  if (threadIdx.x == 0) {
    for (int s = 0; s < slots; ++s) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(full + s)));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(empty + s)),
                   "r"(consumers / 32));
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  int slot = 0;
  uint32_t parity = 0;
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0)
      for (size_t piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
        wait_barrier(empty + slot, parity ^ 1);  // passes at once in the first round
        start_copy(ring + size_t{piece_bytes} * slot, data + piece * piece_bytes, piece_bytes,
                   full + slot);
        if (++slot == slots) slot = 0, parity ^= 1;
      }
    return;
  }
  uint32_t sum = 0;
  for (size_t piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
    wait_barrier(full + slot, parity);
    const auto* words = reinterpret_cast<const uint4*>(ring + size_t{piece_bytes} * slot);
    for (uint32_t i = threadIdx.x - 32; i < piece_bytes / 16; i += consumers)
      sum ^= folded(words[i]);
    __syncwarp();
    if (threadIdx.x % 32 == 0)
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(empty + slot))
                   : "memory");
    if (++slot == slots) slot = 0, parity ^= 1;
  }
  if (sum == 0x12345678u) *sink = sum;
#endif
}

// ---- waiting for one another --------------------------------------------------------------------
__global__ void grid_barriers(int count) {
  for (int i = 0; i < count; ++i) cg::this_grid().sync();
}

// One counter that only grows; one thread of a block arrives and looks. Ends by itself should the
// others never come.
__global__ void counter_barriers(uint32_t* counter, int count) {
  for (int i = 0; i < count; ++i) {
    __syncthreads();
    if (threadIdx.x == 0) {
      asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
      const uint32_t wanted = gridDim.x * static_cast<uint32_t>(i + 1);
      uint32_t seen = 0;
      for (int spins = 0; seen < wanted && spins < (1 << 22); ++spins)
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    }
    __syncthreads();
  }
}

__global__ void cluster_barriers(int count) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  for (int i = 0; i < count; ++i) cg::this_cluster().sync();
#endif
}

__global__ void step(uint32_t* sink) {
  if (sink == nullptr) asm volatile("trap;");
}
// Waits for the kernel before it and lets the next one in early.
__global__ void overlapped_step(uint32_t* sink) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  if (sink == nullptr) asm volatile("trap;");
}

}  // namespace
