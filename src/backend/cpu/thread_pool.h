// Threads that wait for the next operation spinning for a short while, then asleep: an operation
// starts in well under a microsecond while a model is running, and an idle process uses no core.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace krait {

// Calls of run() come from one thread at a time.
class ThreadPool {
 public:
  // `threads` in all, the caller of run() included.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(thread) for each thread in [0, size()), all at once; returns when all are done.
  // `work` must not throw. Allocates nothing.
  template <class Work>
  void run(Work&& work) {
    using Callable = std::remove_reference_t<Work>;
    run_all([](void* context, int thread) { (*static_cast<Callable*>(context))(thread); }, &work);
  }

  // Splits [0, count) into one contiguous range a thread: work(first, last).
  template <class Work>
  void split(int64_t count, Work&& work) {
    const int64_t parts = size();
    run([&](int thread) {
      const int64_t first = count * thread / parts, last = count * (thread + 1) / parts;
      if (first < last) work(first, last);
    });
  }

 private:
  using Function = void (*)(void* context, int thread);
  void run_all(Function function, const void* context);
  void work_loop(int thread);

  std::vector<std::thread> workers_;
  Function function_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint32_t> epoch_{0};      // counts operations
  alignas(64) std::atomic<int32_t> unfinished_{0};  // workers still in the current operation
  std::atomic<bool> quit_{false};
};

}  // namespace krait
