// Copies of whole stretches from global to shared memory that one thread starts and that barriers
// in shared memory count (mbarrier and cp.async.bulk of compute capability 9.0 and later). Where
// kBulkCopies is false the functions do nothing: a kernel that needs them has to be left out.
//
// A barrier runs through phases 0, 1, 2 and so on. A phase ends when as many threads as
// barrier_init() said have arrived and all bytes that they said to expect have come. Who waits
// names the parity of the phase (0 for even ones), and may be one phase late at most; waiting for
// parity 1 before phase 0 has ended returns at once.
#pragma once

#include "kernels/cuda/device.h"
#if !defined(__CUDACC__)
#include "kernels/cuda/twin/bulk_copy.h"
#endif

namespace krait::cuda {

#if defined(__CUDACC__)

// In shared memory.
struct alignas(8) CopyBarrier {
  uint64_t state;
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define KRAIT_BULK_COPIES 1
#else
#define KRAIT_BULK_COPIES 0
#endif
inline constexpr bool kBulkCopies = KRAIT_BULK_COPIES;

KRAIT_DEVICE uint32_t shared_address(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}

// By one thread; then publish_barriers(), then a sync_block().
KRAIT_DEVICE void barrier_init(CopyBarrier* barrier, int arrivals) {
#if KRAIT_BULK_COPIES
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
#endif
}
KRAIT_DEVICE void publish_barriers() {
#if KRAIT_BULK_COPIES
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async;" ::: "memory");
#endif
}

KRAIT_DEVICE void barrier_arrive(CopyBarrier* barrier) {
#if KRAIT_BULK_COPIES
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
#endif
}
// Arrives; the phase ends only when `bytes` more have come.
KRAIT_DEVICE void barrier_arrive_expecting(CopyBarrier* barrier, int bytes) {
#if KRAIT_BULK_COPIES
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
#endif
}
KRAIT_DEVICE void barrier_wait(CopyBarrier* barrier, int parity) {
#if KRAIT_BULK_COPIES
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@!ended bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#endif
}

// `bytes`, `to` and `from` are multiples of 16. All that reads or wrote `to` must have arrived at a
// barrier that this thread has waited for.
KRAIT_DEVICE void bulk_copy(std::byte* to, const void* from, int bytes, CopyBarrier* barrier) {
#if KRAIT_BULK_COPIES
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
#endif
}
// Makes what kernels before this one wrote visible to this thread's bulk copies; after
// wait_for_predecessor().
KRAIT_DEVICE void order_bulk_copies() {
#if KRAIT_BULK_COPIES
  asm volatile("fence.proxy.async;" ::: "memory");
#endif
}

#endif  // the twin declares the same

}  // namespace krait::cuda
