// Bulk copies and their barriers (kernels/cuda/bulk_copy.h) on the twin. A copy happens as late as
// it may: when the end of its phase is seen. Until then its destination holds 0xff.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/twin/twin.h"

namespace krait::cuda {

struct alignas(8) CopyBarrier {
  uint64_t state;
};

inline constexpr bool kBulkCopies = true;

void barrier_init(CopyBarrier* barrier, int arrivals, twin::Site site = twin::Site::here());
inline void publish_barriers() {}
void barrier_arrive(CopyBarrier* barrier, twin::Site site = twin::Site::here());
void barrier_arrive_expecting(CopyBarrier* barrier, int bytes,
                              twin::Site site = twin::Site::here());
void barrier_wait(CopyBarrier* barrier, int parity, twin::Site site = twin::Site::here());
void bulk_copy(std::byte* to, const void* from, int bytes, CopyBarrier* barrier,
               twin::Site site = twin::Site::here());
inline void order_bulk_copies() {}

}  // namespace krait::cuda
