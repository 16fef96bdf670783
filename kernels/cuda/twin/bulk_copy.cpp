// The functions of kernels/cuda/bulk_copy.h.
#include "kernels/cuda/twin/bulk_copy.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "kernels/cuda/twin/machine.h"

namespace krait::cuda {

namespace twin {
namespace {

constexpr uint64_t kMark = 0x6b72616974000000u;  // of an initialised barrier, with its number
constexpr std::byte kPoison{0xff};

bool inside(const void* address, int64_t bytes) {
  const SharedMemory& shared = machine->block().shared;
  const auto* at = static_cast<const std::byte*>(address);
  return std::greater_equal<>()(at, shared.data()) && bytes >= 0 &&
         std::less_equal<>()(at + bytes, shared.data() + shared.bytes());
}

Barrier& barrier_at(const CopyBarrier* barrier, Site site) {
  auto& barriers = machine->block().barriers;
  const uint64_t number = inside(barrier, 8) ? barrier->state - kMark : barriers.size();
  if (number >= barriers.size() || barriers[number].place != barrier)
    machine->fail("a barrier without barrier_init()", site);
  return barriers[number];
}

bool can_end(const Barrier& b) { return b.pending == 0 && b.bytes == 0; }

void end_phase(Barrier& b) {
  for (BulkCopy& copy : b.copies) {
    for (size_t i = 0; i < copy.bytes.size(); ++i)
      if (copy.to[i] != kPoison)
        machine->fail("the destination of this bulk_copy() was written under way", copy.site);
    if (std::memcmp(copy.from, copy.bytes.data(), copy.bytes.size()) != 0)
      machine->fail("the source of this bulk_copy() changed under way", copy.site);
    std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
  }
  b.copies.clear();
  ++b.phase;
  b.pending = b.arrivals;
}

// What now happens at the barrier belongs to the next phase if this one has all it waits for.
Barrier& open_barrier(const CopyBarrier* barrier, Site site) {
  Barrier& b = barrier_at(barrier, site);
  if (can_end(b)) end_phase(b);
  return b;
}

void wake_if_ended(Barrier& b) {
  if (!can_end(b)) return;
  for (Thread* thread : b.waiting) machine->wake(*thread);
  b.waiting.clear();
}

void arrive(CopyBarrier* barrier, int bytes, Site site) {
  Barrier& b = open_barrier(barrier, site);
  if (b.pending == 0) machine->fail("arrives at a phase at which all have arrived", site);
  --b.pending;
  b.bytes += bytes;
  wake_if_ended(b);
  machine->yield_rarely(3);
}

}  // namespace
}  // namespace twin

using twin::machine;
using twin::Site;

void barrier_init(CopyBarrier* barrier, int arrivals, Site site) {
  if (!twin::inside(barrier, 8) || reinterpret_cast<uintptr_t>(barrier) % 8 != 0)
    machine->fail("a barrier that is not in the block's shared memory, 8-byte aligned", site);
  if (arrivals < 1) machine->fail("a barrier without arrivals", site);
  auto& barriers = machine->block().barriers;
  barrier->state = twin::kMark + barriers.size();
  twin::Barrier& b = barriers.emplace_back();
  b.place = barrier;
  b.arrivals = b.pending = arrivals;
}

void barrier_arrive(CopyBarrier* barrier, Site site) { twin::arrive(barrier, 0, site); }

void barrier_arrive_expecting(CopyBarrier* barrier, int bytes, Site site) {
  twin::arrive(barrier, bytes, site);
}

void barrier_wait(CopyBarrier* barrier, int parity, Site site) {
  machine->yield_rarely(3);
  for (;;) {
    twin::Barrier& b = twin::open_barrier(barrier, site);
    if (b.phase % 2 != parity) return;
    b.waiting.push_back(&machine->thread());
    machine->sleep(twin::State::barrier_wait, site);
  }
}

void bulk_copy(std::byte* to, const void* from, int bytes, CopyBarrier* barrier, Site site) {
  const auto odd = [](const void* address) {
    return reinterpret_cast<uintptr_t>(address) % 16 != 0;
  };
  if (bytes <= 0 || bytes % 16 != 0 || odd(to) || odd(from))
    machine->fail("a bulk_copy() whose ends or bytes are not multiples of 16", site);
  if (!twin::inside(to, bytes))
    machine->fail("the destination of bulk_copy() is not within the block's shared memory", site);
  twin::Barrier& b = twin::open_barrier(barrier, site);
  const auto* begin = static_cast<const std::byte*>(from);
  b.copies.push_back({to, begin, {begin, begin + bytes}, site});
  std::fill_n(to, bytes, twin::kPoison);
  b.bytes -= bytes;
  twin::wake_if_ended(b);
  machine->yield_rarely(3);
}

}  // namespace krait::cuda
