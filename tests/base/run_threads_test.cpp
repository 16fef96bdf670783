#include "src/base/run_threads.h"

#include <atomic>
#include <barrier>
#include <stdexcept>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace krait {
namespace {

TEST(RunThreads, EachHasItsNumberAndAllRunAtOnce) {
  for (const int threads : {1, 2, 5}) {
    std::vector<int> calls(threads);
    std::barrier meeting(threads);  // passed only if nobody waits for another's end
    run_threads(threads, [&](int thread) {
      meeting.arrive_and_wait();
      ++calls[thread];
    });
    EXPECT_THAT(calls, testing::Each(1)) << threads;
  }
}

TEST(RunThreads, WhatOneThrowsReachesTheCallerWhenAllAreDone) {
  std::atomic<int> done = 0;
  const auto run = [&] {
    run_threads(4, [&](int thread) {
      if (thread == 2) throw std::runtime_error("the third");
      ++done;
    });
  };
  EXPECT_THAT(run, testing::ThrowsMessage<std::runtime_error>("the third"));
  EXPECT_EQ(done, 3);
}

}  // namespace
}  // namespace krait
