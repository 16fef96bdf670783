// A mutex that threads get in the order in which they asked for it: of threads that take it again
// and again none waits for longer than one turn of each other. Its holder may take it once more.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace krait {

class FairMutex {
 public:
  void lock() noexcept {
    const std::thread::id self = std::this_thread::get_id();
    if (holder_.load(std::memory_order_relaxed) == self) {
      ++depth_;
      return;
    }
    const uint32_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
    for (uint32_t now; (now = serving_.load(std::memory_order_acquire)) != turn;)
      serving_.wait(now, std::memory_order_acquire);
    holder_.store(self, std::memory_order_relaxed);
    depth_ = 1;
  }

  void unlock() noexcept {
    if (--depth_ > 0) return;
    holder_.store({}, std::memory_order_relaxed);
    serving_.fetch_add(1, std::memory_order_release);
    serving_.notify_all();  // a system call only when somebody sleeps
  }

 private:
  std::atomic<uint32_t> turns_{0};    // asked for
  std::atomic<uint32_t> serving_{0};  // the one that holds it, or gets it next
  std::atomic<std::thread::id> holder_{};
  int depth_ = 0;  // how often the holder has taken it
};

}  // namespace krait
