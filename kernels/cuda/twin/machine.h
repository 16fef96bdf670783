// What runs a launch on the twin: its blocks, the order of their threads, and who waits for whom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/twin/fiber.h"
#include "kernels/cuda/twin/twin.h"

namespace krait::cuda::twin {

enum class State : uint8_t {
  runs,  // or could
  sync_block,
  sync_warp,
  shuffle_xor,
  shuffle,
  mma_bf16,
  load_matrices,
  wait_for_predecessor,
  barrier_wait,
  ended,
};

// A copy_async() under way.
struct Copy {
  std::byte* to;
  const void* from;  // null: zeros
  Word4 bytes;       // that lay there when it began
  int group;
  Site site;
};

struct Warp;
struct Block;
struct Grid;
struct Thread;

// A bulk_copy() under way.
struct BulkCopy {
  std::byte* to;
  const std::byte* from;
  std::vector<std::byte> bytes;  // that lay there when it began
  Site site;
};

// A CopyBarrier, with the phase that has not been seen to end.
struct Barrier {
  const void* place = nullptr;  // in shared memory
  int arrivals = 0;             // of a phase
  int pending = 0;              // of them, not yet come
  int64_t bytes = 0;            // expected, less those of the copies
  int phase = 0;
  std::vector<BulkCopy> copies;
  std::vector<Thread*> waiting;
};

struct Thread {
  Place place;
  Warp* warp = nullptr;
  Fiber* fiber = nullptr;  // once it runs, until it ends
  Site site;               // where it waits, or waited last
  int predecessor_waits = 0;
  int copy_groups = 0;       // committed
  std::vector<Copy> copies;  // under way, oldest first
};

// What lanes lay down as they come to a collective. The last one to come works on it; each lane
// takes up its own part as it goes on, perhaps after others have come to the next collective.
struct Table {
  uint32_t values[kWarp], results[kWarp];
  uint8_t from[kWarp];
  uint32_t a[4][kWarp], b[2][kWarp];
  float d[2][kWarp][2];
  const std::byte* rows[kWarp];
  uint32_t fragments[kWarp][4];
};

struct Warp {
  Block* block = nullptr;
  Thread* lanes = nullptr;  // of kWarp
  uint32_t ready = 0;       // lanes that can go on, without the running one
  size_t ready_index = 0;   // in Machine::ready_, if there are any
  int ended = 0;
  int arrived = 0;  // lanes at the collective `what`
  State what = State::runs;
  State state[kWarp] = {};  // of each lane
  Site site;
  Table table;

  void reset(Block* of, Thread* first);
};

// A block's shared memory, filled with 0xff, with something beside it that shows stray writes.
class SharedMemory {
 public:
  void reset(size_t bytes);
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool intact() const;  // nothing was written just before or after it

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

struct Block {
  Grid* grid = nullptr;
  int64_t x = 0, y = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  SharedMemory shared;
  std::vector<Barrier> barriers;
  int arrived = 0;  // at the sync_block at `site`
  int ended = 0;
  Site site;
};

// A launch that is under way.
struct Grid {
  Launch launch;
  std::shared_ptr<const void> kernel;  // if the launch outlives the caller's
  int64_t blocks = 0, started = 0, ended = 0;
  int64_t next_block = 0, stride = 1;
  bool open = false;  // wait_for_predecessor() is over
  std::vector<std::unique_ptr<Block>> alive;
};

class Machine {
 public:
  void run(const Launch& launch, const Options& options);
  void finish();

  // The rest is for the running thread.

  Thread& thread() { return *thread_; }
  Warp& warp() { return *thread_->warp; }
  int lane() const { return thread_->place.thread % kWarp; }
  Block& block() { return *thread_->warp->block; }

  // Waits for the other lanes at the collective `what`. True in the last lane to come, which does
  // what there is to do and then calls release_warp(); false in the others, after that.
  bool arrive(State what, Site site);
  void release_warp();
  void sync_block(Site site);
  void wait_for_predecessor(Site site);
  // Waits until another thread wakes this one.
  void sleep(State what, Site site);
  void wake(Thread& thread);
  // Lets others run, always or in one of 2^n cases.
  void yield();
  void yield_rarely(int n) {
    if ((random() & ((uint64_t{1} << n) - 1)) == 0) yield();
  }
  // Ends the launch with an error at this thread.
  [[noreturn]] void fail(std::string&& what, Site site = {});

 private:
  static void fiber_main();
  void thread_loop();
  void end_thread();
  void start_block(Block& block);
  void come_together(State what, Site site);
  void suspend();
  Thread* pick();
  void make_ready(Warp& warp, uint32_t lanes);
  Fiber* take_fiber();
  void go_to(Thread* next);
  bool accepts(const Launch& launch);
  void seed(const Options& options);
  std::unique_ptr<Grid> start(const Launch& launch, const Options& options);
  bool run_ready();
  void run_to_end(std::unique_ptr<Grid> grid);
  void give_up();
  uint64_t random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    return random_ ^= random_ << 17;
  }

  uint64_t most_switches_ = 0, switches_ = 0;
  uint64_t random_ = 1, launches_ = 0, options_version_ = 0;
  uint64_t stay_ = 0;  // how long to stay with a warp
  std::unique_ptr<Grid> held_;
  std::vector<std::unique_ptr<Block>> unused_;
  std::vector<Warp*> ready_;
  Warp* warp_ = nullptr;  // whose lanes run for the time being
  Thread* thread_ = nullptr;
  Fiber* fiber_ = nullptr;  // of thread_
  std::unique_ptr<Fiber> home_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  std::optional<std::string> failure_;
  Site failure_site_;
};

extern constinit thread_local Machine* machine;  // of this thread of the system, in a launch

const char* name_of(State state);
// "kernel Scale, block (1, 0), thread 37 of 256, at file:line: what", and what the threads of the
// block wait for.
std::string describe(const Launch& launch, const std::string& what);
std::string describe(const Thread& thread, Site site, const std::string& what);
// Keeps the error, or ends the program with it.
void report(const std::string& message);
bool has_error();
uint64_t options_version();

}  // namespace krait::cuda::twin
