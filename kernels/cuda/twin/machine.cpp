// Threads of a launch: which goes on next, and who waits for whom.
#include "kernels/cuda/twin/machine.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace krait::cuda::twin {

constinit thread_local const Place* running = nullptr;

// ---- threads ------------------------------------------------------------------------------------

void Machine::fiber_main() { machine->thread_loop(); }

// A fiber runs one thread after another.
void Machine::thread_loop() {
  for (;;) {
    const Launch& launch = block().grid->launch;
    launch.thread(launch.kernel);
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
    else
      fiber_->switch_to(*home_);
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
  if (++b.ended < t.place.threads) return;
  for (const Barrier& barrier : b.barriers)
    if (!barrier.copies.empty())
      fail("its block ends before it waited for this bulk_copy()", barrier.copies.front().site);
  if (!b.shared.intact())
    fail("its block wrote before or behind its " + std::to_string(b.shared.bytes()) +
         " bytes of shared memory");
  ++b.grid->ended;
  if (b.grid->started < b.grid->blocks) start_block(b);
}

void Machine::fail(std::string&& what, Site site) {
  // Nothing on this stack is destroyed after this, so nothing on it may own memory.
  failure_.emplace(std::move(what));
  failure_site_ = site;
  fiber_->switch_to(*home_);
  std::abort();
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
  if (!next)
    fiber_->switch_to(*home_);
  else if (next != thread_)
    go_to(next);
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

namespace {

bool same(Site a, Site b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

}  // namespace

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
  if (++b.arrived < thread_->place.threads) return suspend();
  b.arrived = 0;
  for (Warp& w : b.warps) {
    w.arrived = 0;
    std::fill(w.state, w.state + kWarp, State::runs);
    make_ready(w, &w == thread_->warp ? ~(1u << lane()) : ~0u);
  }
  yield_rarely(1);
}

void Machine::wait_for_predecessor(Site site) {
  if (++thread_->predecessor_waits > 1) fail("wait_for_predecessor() a second time", site);
  if (block().grid->open) return yield_rarely(3);
  warp().state[lane()] = State::wait_for_predecessor;
  thread_->site = site;
  suspend();
}

}  // namespace krait::cuda::twin
