#include "src/base/thread_pool.h"

#include <chrono>
#include <system_error>

#include "krait/error.h"

namespace krait {
namespace {

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins until `ready` holds or about 100 microseconds have passed. Between operations of a running
// model waits are far shorter; the yield lets others run where there are more threads than cores.
template <class Ready>
bool spin(Ready ready) {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 256; ++i) {
      if (ready()) return true;
      pause();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() - start < std::chrono::microseconds(100));
  return false;
}

constexpr uint32_t kOpen = 1u << 31;

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(threads) {
  try {
    for (int thread = 1; thread < threads; ++thread)
      workers_.emplace_back([this, thread] { work_loop(thread); });
  } catch (const std::system_error& error) {
    stop();
    throw Failure("cannot start " + std::to_string(threads) + " threads: " + error.what());
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  quit_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const Operation& operation) {
  operation_ = operation;
  for (Share& share : shares_) share.taken.store(0, std::memory_order_relaxed);
  gate_.store(kOpen, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();  // a system call only when somebody sleeps
  take_parts(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);  // who is not inside by now is not needed
  const auto empty = [this] { return gate_.load(std::memory_order_acquire) == 0; };
  while (!spin(empty)) {
    const uint32_t inside = gate_.load(std::memory_order_acquire);
    if (inside != 0) gate_.wait(inside, std::memory_order_acquire);
  }
}

void ThreadPool::take_parts(int thread) {
  const auto& [call, context, count, parts] = operation_;
  const int64_t threads = size();
  for (int64_t i = 0; i < threads; ++i) {
    const int64_t owner = (thread + i) % threads;
    const int64_t begin = parts * owner / threads, end = parts * (owner + 1) / threads;
    for (;;) {
      const int64_t part = begin + shares_[owner].taken.fetch_add(1, std::memory_order_relaxed);
      if (part >= end) break;
      call(context, count * part / parts, count * (part + 1) / parts);
    }
  }
}

void ThreadPool::work_loop(int thread) {
  uint32_t seen = 0;
  for (;;) {
    const auto next = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    if (!spin(next)) epoch_.wait(seen, std::memory_order_acquire);
    if (quit_.load(std::memory_order_relaxed)) return;
    seen = epoch_.load(std::memory_order_acquire);
    uint32_t gate = gate_.load(std::memory_order_acquire);
    while ((gate & kOpen) &&
           !gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
    }
    if (!(gate & kOpen)) continue;  // the others have done it already
    take_parts(thread);
    if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
  }
}

}  // namespace krait
