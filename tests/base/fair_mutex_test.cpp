#include "src/base/fair_mutex.h"

#include <mutex>
#include <vector>

#include <gtest/gtest.h>

namespace krait {
namespace {

TEST(FairMutexTest, OneThreadAtATime) {
  FairMutex mutex;
  int64_t sum = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) {
        const std::scoped_lock lock(mutex);
        const std::scoped_lock again(mutex);
        const int64_t before = sum;
        std::this_thread::yield();
        sum = before + 1;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 800);
}

// The holder lets go and asks again at once: those who asked before come first. They are given time
// to ask, more each time, as nobody can tell when a busy machine has let them.
TEST(FairMutexTest, InTheOrderOfAsking) {
  std::vector<int> order;
  for (int ms = 1; ms < 1000 && order != std::vector<int>{1, 2, 0}; ms *= 2) {
    FairMutex mutex;
    order.clear();
    const auto ask = [&](int self) {
      const std::scoped_lock lock(mutex);
      order.push_back(self);
    };
    mutex.lock();
    std::thread first(ask, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    std::thread second(ask, 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    mutex.unlock();
    ask(0);
    first.join();
    second.join();
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2, 0}));
}

}  // namespace
}  // namespace krait
