#include "src/base/thread_pool.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace krait {
namespace {

TEST(ThreadPoolTest, SplitCoversTheRangeOnceWhateverTheParts) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t count : {0, 1, 2, 3, 7, 100})
      for (const int64_t parts : {0, 1, 2, 3, 8, 200}) {
        std::vector<int> seen(count);
        std::atomic<int64_t> calls{0};
        pool.split(count, parts, [&](int64_t first, int64_t last) {
          calls.fetch_add(1);
          EXPECT_LT(first, last);
          for (int64_t i = first; i < last; ++i) ++seen[i];
        });
        EXPECT_THAT(seen, testing::Each(1));
        EXPECT_LE(calls.load(), std::max<int64_t>(parts, 1));
      }
  }
}

TEST(ThreadPoolTest, ManyOperationsInARowLoseNothing) {
  ThreadPool pool(4);
  std::vector<int64_t> sums(64);
  for (int64_t i = 0; i < 20000; ++i)
    pool.split(64, 16, [&](int64_t first, int64_t last) {
      for (int64_t j = first; j < last; ++j) sums[j] += i;
    });
  EXPECT_THAT(sums, testing::Each(20000 * int64_t{19999} / 2));
}

TEST(ThreadPoolTest, OtherThreadsTakePart) {
  ThreadPool pool(2);
  // Each part waits until the other has begun: one thread alone would never finish.
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 2));  // awake and asleep
    std::atomic<int> begun{0};
    pool.split(2, 2, [&](int64_t, int64_t) {
      begun.fetch_add(1);
      while (begun.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(begun.load(), 2);
  }
}

}  // namespace
}  // namespace krait
