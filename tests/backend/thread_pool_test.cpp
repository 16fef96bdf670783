#include "src/backend/cpu/thread_pool.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/backend.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

TEST(ThreadPoolTest, EveryThreadRunsEveryOperationOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    std::vector<int> counts(threads);
    for (int i = 0; i < 2000; ++i) pool.run([&](int thread) { ++counts[thread]; });
    EXPECT_THAT(counts, testing::Each(2000));
  }
}

TEST(ThreadPoolTest, WakesFromSleep) {
  ThreadPool pool(3);
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> ran{0};
    pool.run([&](int) { ran.fetch_add(1); });
    EXPECT_EQ(ran.load(), 3);
  }
}

TEST(ThreadPoolTest, SplitCoversTheRangeOnce) {
  ThreadPool pool(3);
  for (const int64_t count : {0, 1, 2, 3, 7, 100}) {
    std::vector<int> seen(count);
    pool.split(count, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) ++seen[i];
    });
    EXPECT_THAT(seen, testing::Each(1));
  }
}

TEST(ThreadPoolTest, ADifferentNumberOfThreadsIsRefusedOnlyOutsideItsRange) {
  EXPECT_THAT(test::message_of<InputError>([] { make_backend({"cpu", "auto", -3}); }),
              testing::HasSubstr("--threads -3: expected 1 to 512"));
  EXPECT_THROW(make_backend({"cpu", "auto", 513}), InputError);
}

TEST(DeviceTest, CudaAndUnknownDevicesSayWhatIsMissing) {
  EXPECT_THAT(test::message_of<InputError>([] { make_backend({"cuda:1", "auto", 1}); }),
              testing::HasSubstr("--device cuda:1: this"));
  EXPECT_THAT(test::message_of<InputError>([] { make_backend({"tpu", "auto", 1}); }),
              testing::HasSubstr("--device tpu: expected auto, cpu or cuda[:N]"));
}

}  // namespace
}  // namespace krait
