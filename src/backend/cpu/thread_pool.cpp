#include "src/backend/cpu/thread_pool.h"

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

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    for (int thread = 1; thread < threads; ++thread)
      workers_.emplace_back([this, thread] { work_loop(thread); });
  } catch (const std::system_error& error) {
    quit_ = true;
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    throw Failure("cannot start " + std::to_string(threads) + " threads: " + error.what());
  }
}

ThreadPool::~ThreadPool() {
  quit_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_all(Function function, const void* context) {
  function_ = function;
  context_ = const_cast<void*>(context);
  unfinished_.store(static_cast<int32_t>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();  // a system call only when somebody sleeps
  function(context_, 0);
  const auto done = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  while (!spin(done)) {
    const int32_t left = unfinished_.load(std::memory_order_acquire);
    if (left != 0) unfinished_.wait(left, std::memory_order_acquire);
  }
}

void ThreadPool::work_loop(int thread) {
  uint32_t seen = 0;
  for (;;) {
    const auto next = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    if (!spin(next)) epoch_.wait(seen, std::memory_order_acquire);
    if (!next()) continue;
    ++seen;
    if (quit_.load(std::memory_order_relaxed)) return;
    function_(context_, thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  }
}

}  // namespace krait
