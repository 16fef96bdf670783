#include "kernels/cuda/twin/machine.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "kernels/cuda/twin/sanitizers.h"

namespace krait::cuda::twin {

constinit thread_local const Place* running = nullptr;
constinit thread_local Machine* machine = nullptr;

namespace {

// The limits of all GPUs since sm_80 but that of shared memory, which is sm_90's.
constexpr int64_t kMostBlocksX = (int64_t{1} << 31) - 1, kMostBlocksY = 65535;
constexpr int kMostThreads = 1024;
constexpr size_t kMostSharedBytes = size_t{227} << 10;

bool same(Site a, Site b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

}  // namespace

void run(const Launch& launch) noexcept {
  if (has_error()) return;
  thread_local Machine own;
  machine = &own;
  own.run(launch, options());
}

// ---- a launch -----------------------------------------------------------------------------------

bool Machine::accepts(const Launch& l) {
  std::string what;
  if (l.blocks_x < 1 || l.blocks_x > kMostBlocksX || l.blocks_y < 1 || l.blocks_y > kMostBlocksY)
    what = "a grid of " + std::to_string(l.blocks_x) + " x " + std::to_string(l.blocks_y) +
           " blocks: expected 1 to 2^31 - 1 and 1 to 65535";
  else if (l.threads < kWarp || l.threads % kWarp != 0 ||
           l.threads > std::min(l.most_threads, kMostThreads))
    what = "blocks of " + std::to_string(l.threads) +
           " threads: expected a multiple of 32, at most " +
           std::to_string(std::min(l.most_threads, kMostThreads));
  else if (l.shared_bytes > kMostSharedBytes)
    what = std::to_string(l.shared_bytes) + " bytes of shared memory: expected at most " +
           std::to_string(kMostSharedBytes);
  if (!what.empty()) report(describe(l, what));
  return what.empty();
}

void Machine::prepare(const Launch& launch, const Options& options) {
  if (options_version_ != options_version()) {
    options_version_ = options_version();
    launches_ = 0;
  }
  random_ = (options.seed + launches_++ * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u | 1;
  for (int i = 0; i < 4; ++i) random();
  most_switches_ = std::max<uint64_t>(options.most_switches, 1);
  switches_ = 0;
  stay_ = (uint64_t{16} << random() % 3 * 2) - 1;
  blocks_ = launch.blocks_x * launch.blocks_y;
  next_block_ = static_cast<int64_t>(random() % static_cast<uint64_t>(blocks_));
  do {
    stride_ = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(blocks_));
  } while (std::gcd(stride_, blocks_) != 1);
  started_ = ended_ = 0;
  ready_.clear();
  warp_ = nullptr;
}

void Machine::run(const Launch& launch, const Options& options) {
  if (!accepts(launch)) return;
  launch_ = &launch;
  prepare(launch, options);
  if (!home_) home_ = std::make_unique<Fiber>();
  const auto alive =
      static_cast<size_t>(std::min<int64_t>(std::max(options.blocks_alive, 1), blocks_));
  while (alive_.size() < alive) alive_.push_back(std::make_unique<Block>());
  for (size_t i = 0; i < alive; ++i) start_block(*alive_[i]);

  fiber_ = home_.get();
  go_to(pick());
  running = nullptr;
  if (!failure_) return;
  const std::string message = describe(launch, *thread_, failure_site_, *failure_);
  failure_.reset();
  abandon();
  report(message);
}

// Threads that wait are forgotten, with what is on their stacks.
void Machine::abandon() {
  free_.clear();
  for (auto& fiber : fibers_) {
    fiber->restart();
    free_.push_back(fiber.get());
  }
  alive_.clear();
}

void Machine::fail(std::string&& what, Site site) {
  // Nothing on this stack is destroyed after this, so nothing on it may own memory.
  failure_.emplace(std::move(what));
  failure_site_ = site;
  fiber_->switch_to(*home_);
  std::abort();
}

void Machine::start_block(Block& block) {
  block.x = next_block_ % launch_->blocks_x;
  block.y = next_block_ / launch_->blocks_x;
  next_block_ = (next_block_ + stride_) % blocks_;
  ++started_;
  block.arrived = block.ended = 0;
  block.shared.reset(launch_->shared_bytes);
  block.barriers.clear();
  block.threads.resize(static_cast<size_t>(launch_->threads));
  block.warps.resize(static_cast<size_t>(launch_->threads / kWarp));
  for (int i = 0; i < launch_->threads; ++i) {
    Thread& t = block.threads[static_cast<size_t>(i)];
    t.place = {i,
               launch_->threads,
               static_cast<int>(block.x),
               static_cast<int>(block.y),
               static_cast<int>(launch_->blocks_x),
               static_cast<int>(launch_->blocks_y),
               block.shared.data()};
    t.warp = &block.warps[static_cast<size_t>(i / kWarp)];
    t.fiber = nullptr;
    t.predecessor_waits = t.copy_groups = 0;
    t.copies.clear();
  }
  for (size_t i = 0; i < block.warps.size(); ++i) {
    block.warps[i].reset(&block, &block.threads[i * kWarp]);
    make_ready(block.warps[i], ~0u);
  }
}

void Warp::reset(Block* of, Thread* first) {
  block = of;
  lanes = first;
  ready = 0;
  ended = arrived = 0;
  std::fill(state, state + kWarp, State::runs);
}

// ---- threads ------------------------------------------------------------------------------------

void Machine::fiber_main() { machine->thread_loop(); }

// A fiber runs one thread after another. Between launches it waits in go_home().
void Machine::thread_loop() {
  for (;;) {
    launch_->thread(launch_->kernel);
    end_thread();
    Thread* next = pick();
    if (next && !next->fiber) {  // needs no switch
      next->fiber = fiber_;
      thread_ = next;
      running = &next->place;
      continue;
    }
    free_.push_back(fiber_);
    if (next)
      go_to(next);
    else if (ended_ == blocks_)
      fiber_->switch_to(*home_);
    else
      fail("no thread can go on");
  }
}

void Machine::end_thread() {
  Thread& t = *thread_;
  Warp& w = *t.warp;
  Block& b = *w.block;
  if (t.predecessor_waits == 0) fail("ends without wait_for_predecessor()");
  if (w.arrived > 0) fail("ends while lanes of its warp wait for it");
  if (b.arrived > 0) fail("ends while threads of its block wait for it");
  w.state[lane()] = State::ended;
  ++w.ended;
  t.fiber = nullptr;
  if (++b.ended < launch_->threads) return;
  for (const Barrier& barrier : b.barriers)
    if (!barrier.copies.empty())
      fail("its block ends before it waited for this bulk_copy()", barrier.copies.front().site);
  if (!b.shared.intact())
    fail("its block wrote before or behind its " + std::to_string(b.shared.bytes()) +
         " bytes of shared memory");
  ++ended_;
  if (started_ < blocks_) start_block(b);
}

void Machine::make_ready(Warp& warp, uint32_t lanes) {
  if (warp.ready == 0 && lanes != 0) {
    warp.ready_index = ready_.size();
    ready_.push_back(&warp);
  }
  warp.ready |= lanes;
}

// Mostly a lane of the warp that ran last, whose stacks are in the cache; otherwise any warp's.
Thread* Machine::pick() {
  const uint64_t r = random();
  if (!warp_ || warp_->ready == 0 || (r & stay_) == 0) {
    if (ready_.empty()) return nullptr;
    warp_ = ready_[(r >> 16 & 0xffffffffu) % ready_.size()];
  }
  const int turn = static_cast<int>(r >> 59);
  const int lane = (std::countr_zero(std::rotr(warp_->ready, turn)) + turn) % kWarp;
  warp_->ready &= ~(1u << lane);
  if (warp_->ready == 0) {
    ready_.back()->ready_index = warp_->ready_index;
    ready_[warp_->ready_index] = ready_.back();
    ready_.pop_back();
  }
  return &warp_->lanes[lane];
}

Fiber* Machine::take_fiber() {
  if (free_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(&Machine::fiber_main));
    return fibers_.back().get();
  }
  Fiber* fiber = free_.back();
  free_.pop_back();
  return fiber;
}

void Machine::go_to(Thread* next) {
  if (++switches_ > most_switches_)
    fail("more than " + std::to_string(most_switches_) +
         " switches between threads: some wait in a loop without end?");
  if (!next->fiber) next->fiber = take_fiber();
  Fiber& from = *fiber_;
  thread_ = next;
  running = &next->place;
  fiber_ = next->fiber;
  from.switch_to(*fiber_);
}

void Machine::suspend() {
  Thread* next = pick();
  if (!next) fail("no thread can go on");
  if (next != thread_) go_to(next);
}

void Machine::yield() {
  make_ready(*thread_->warp, 1u << lane());
  suspend();
}

void Machine::sleep(State what, Site site) {
  thread_->warp->state[lane()] = what;
  thread_->site = site;
  suspend();
}

void Machine::wake(Thread& thread) {
  const int lane = thread.place.thread % kWarp;
  thread.warp->state[lane] = State::runs;
  make_ready(*thread.warp, 1u << lane);
}

// ---- collectives --------------------------------------------------------------------------------

// The running lane comes to a collective; its warp's other lanes must be at the same or on the way.
void Machine::come_together(State what, Site site) {
  Thread& t = *thread_;
  Warp& w = *t.warp;
  w.state[lane()] = what;
  t.site = site;
  if (w.arrived == 0) {
    w.what = what;
    w.site = site;
  } else if (w.what != what || !same(w.site, site)) {
    fail("waits at another place than lanes of its warp", site);
  }
  if (w.ended > 0) fail("waits for lanes of its warp that have ended", site);
  ++w.arrived;
}

bool Machine::arrive(State what, Site site) {
  come_together(what, site);
  if (warp().arrived == kWarp) return true;
  suspend();
  return false;
}

void Machine::release_warp() {
  Warp& w = *thread_->warp;
  w.arrived = 0;
  std::fill(w.state, w.state + kWarp, State::runs);
  make_ready(w, ~(1u << lane()));
  yield_rarely(3);
}

void Machine::sync_block(Site site) {
  come_together(State::sync_block, site);
  Block& b = block();
  if (b.ended > 0) fail("waits for threads of its block that have ended", site);
  if (b.arrived == 0)
    b.site = site;
  else if (!same(b.site, site))
    fail("waits at another place than threads of its block", site);
  if (++b.arrived < launch_->threads) return suspend();
  b.arrived = 0;
  for (Warp& w : b.warps) {
    w.arrived = 0;
    std::fill(w.state, w.state + kWarp, State::runs);
    make_ready(w, &w == thread_->warp ? ~(1u << lane()) : ~0u);
  }
  yield_rarely(1);
}

// ---- shared memory ------------------------------------------------------------------------------

namespace {
constexpr std::byte kPoison{0xff}, kGuard{0xa5};
#if defined(KRAIT_TWIN_ASAN)
constexpr size_t kGuardBytes = 0;  // AddressSanitizer has its own
#else
constexpr size_t kGuardBytes = 256;  // a multiple of 16
#endif
}  // namespace

void SharedMemory::reset(size_t bytes) {
  if (!memory_ || bytes != bytes_ || kGuardBytes == 0) {
    memory_ = std::make_unique<std::byte[]>(bytes + 2 * kGuardBytes);
    data_ = memory_.get() + kGuardBytes;
    bytes_ = bytes;
    std::fill_n(memory_.get(), bytes + 2 * kGuardBytes, kGuard);
  }
  std::fill_n(data_, bytes, kPoison);
}

bool SharedMemory::intact() const {
  const auto untouched = [](const std::byte* from) {
    return std::all_of(from, from + kGuardBytes, [](std::byte b) { return b == kGuard; });
  };
  return untouched(memory_.get()) && untouched(data_ + bytes_);
}

}  // namespace krait::cuda::twin
