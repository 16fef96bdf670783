// The twin of device.h on the CPU: emulated blocks of threads. See device.h for what each function
// does.
//
// A thread of a kernel is a fiber; several blocks are alive at once, and whenever a thread waits,
// and now and then when it need not, one that can go on is chosen at random, from a seed. So what
// is not ordered by a collective comes in any order, also between lanes of a warp. The twin does
// the worst that device.h permits:
// - Shared memory begins as 0xff (NaNs), and is checked for writes beside it when the block ends;
//   under AddressSanitizer every such access is seen.
// - A copy happens in copy_wait(); until then its destination holds 0xff.
// It reports, with the place in the source and what every thread of the block waits for:
// collectives that not all threads reach, or that meet others; addresses that an instruction does
// not take; sources of copies that change under way; a thread that calls wait_for_predecessor() not
// once; threads that wait in a loop without end; a launch that a GPU would refuse.
// It cannot see wrong orders of memory between blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/twin/arithmetic.h"
#include "kernels/cuda/types.h"

namespace krait::cuda {

namespace twin {

struct Options {
  uint64_t seed = 1;     // of the order in which threads run
  int blocks_alive = 4;  // at most, at once
  // Hold each launch until the next one on this thread of the system, or finish(), and begin it
  // only after the threads of that next one have come to wait_for_predecessor(). So what a kernel
  // does too early meets memory as it was before.
  bool overlap = false;
  uint64_t most_switches = uint64_t{1} << 30;  // between threads, in a launch
  int code_version = 90;  // what code_version() of launch.h answers
  // Keep the first error for take_error(), end its launch and ignore all that follow. Otherwise an
  // error is written to stderr and the program aborts.
  bool keep_errors = false;
};
// For all launches from now on, on all threads. Each launch on a thread takes another order; those
// after a set_options() take the same ones again.
void set_options(const Options& options);
Options options();
// Runs what this thread of the system launched and is still held.
void finish() noexcept;
// The first error since the last call; empty if there was none.
std::string take_error();

// A line of a kernel, as a default argument.
struct Site {
  const char* file = "";
  int line = 0;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

// What the running thread may know of itself.
struct Place {
  int thread = 0, threads = 0;
  int block_x = 0, block_y = 0, blocks_x = 0, blocks_y = 0;
  std::byte* shared = nullptr;
};
extern constinit thread_local const Place* running;

struct Launch {
  int64_t blocks_x, blocks_y;
  int threads;
  int most_threads;  // that the kernel allows
  size_t shared_bytes;
  void (*thread)(const void* kernel);
  const void* kernel;
  const char* name;  // of the kernel, in brackets: "[with Kernel = ...]"
  std::shared_ptr<const void> (*copy)(const void* kernel);
};
void run(const Launch& launch) noexcept;

template <class Kernel>
void run(int64_t blocks_x, int64_t blocks_y, int threads, size_t shared_bytes,
         const Kernel& kernel) noexcept {
  run(Launch{blocks_x, blocks_y, threads, Kernel::kThreads, shared_bytes,
             [](const void* k) { (*static_cast<const Kernel*>(k))(); }, &kernel,
             __PRETTY_FUNCTION__,
             [](const void* k) -> std::shared_ptr<const void> {
               return std::make_shared<Kernel>(*static_cast<const Kernel*>(k));
             }});
}

void copy_wait(int groups, Site site);

}  // namespace twin

inline int thread_index() { return twin::running->thread; }
inline int thread_count() { return twin::running->threads; }
inline int block_x() { return twin::running->block_x; }
inline int block_y() { return twin::running->block_y; }
inline int blocks_x() { return twin::running->blocks_x; }
inline int blocks_y() { return twin::running->blocks_y; }
inline int lane_index() { return thread_index() % kWarp; }
inline int warp_index() { return thread_index() / kWarp; }
inline std::byte* shared_memory() { return twin::running->shared; }

void sync_block(twin::Site site = twin::Site::here());
void sync_warp(twin::Site site = twin::Site::here());
float shuffle_xor(float value, int mask, twin::Site site = twin::Site::here());
uint32_t shuffle_xor(uint32_t value, int mask, twin::Site site = twin::Site::here());
float shuffle(float value, int from_lane, twin::Site site = twin::Site::here());
uint32_t shuffle(uint32_t value, int from_lane, twin::Site site = twin::Site::here());

// Each sum begins with d and takes the sixteen products, which are exact, in the order of k, with a
// rounding to float32 after each. (A GPU sums in its own order, with more bits.)
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
              twin::Site site = twin::Site::here());
void load_matrices(uint32_t (&out)[4], const std::byte* row, twin::Site site = twin::Site::here());

Word4 load_stream(const void* from, twin::Site site = twin::Site::here());
void copy_async(std::byte* to, const void* from, bool valid = true,
                twin::Site site = twin::Site::here());
void copy_commit();
template <int N>
void copy_wait(twin::Site site = twin::Site::here()) {
  twin::copy_wait(N, site);
}

void wait_for_predecessor(twin::Site site = twin::Site::here());
void release_successor();
uint32_t add_and_order(uint32_t* counter, uint32_t value, twin::Site site = twin::Site::here());

}  // namespace krait::cuda
