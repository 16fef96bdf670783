// Threads that take parts of an operation as they come. They wait for the next one spinning for a
// short while, then asleep: an operation starts in well under a microsecond while a model is
// running, and an idle process uses no core. The caller works too and never waits for a thread that
// has not begun, so a busy machine costs speed, not stalls.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace krait {

// Calls of split() come from one thread at a time.
class ThreadPool {
 public:
  // `threads` in all, the caller of split() included. Throws Failure when the system gives no more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(first, last) for ranges that cover [0, count) once, on any threads, and returns when
  // all are done. There are at most `parts` ranges. `work` must not throw. Allocates nothing.
  template <class Work>
  void split(int64_t count, int64_t parts, Work&& work) {
    if (parts > count) parts = count;
    if (parts <= 1 || workers_.empty()) {
      if (count > 0) work(int64_t{0}, count);
      return;
    }
    using Callable = std::remove_reference_t<Work>;
    const auto call = [](void* context, int64_t first, int64_t last) {
      (*static_cast<Callable*>(context))(first, last);
    };
    run({call, &work, count, parts});
  }

 private:
  struct Operation {
    void (*call)(void* context, int64_t first, int64_t last) = nullptr;
    void* context = nullptr;
    int64_t count = 0;
    int64_t parts = 0;
  };
  void run(const Operation& operation);
  void take_parts(int thread);
  void work_loop(int thread);
  void stop();

  // How many parts of a thread's share are taken. Each takes its own in order, so that it reads
  // memory straight through and finds what it wrote before, then helps the others.
  struct alignas(64) Share {
    std::atomic<int64_t> taken{0};
  };

  std::vector<std::thread> workers_;
  std::vector<Share> shares_;
  Operation operation_;                         // written only while the gate is shut and empty
  alignas(64) std::atomic<uint32_t> epoch_{0};  // counts operations; workers sleep on it
  alignas(64) std::atomic<uint32_t> gate_{0};   // kOpen, plus the workers inside
  std::atomic<bool> quit_{false};
};

}  // namespace krait
