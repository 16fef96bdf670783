// The twin of the device layer: what it computes, and that each of its checks fires.
#include <cstring>
#include <functional>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/launch.h"

namespace krait::cuda {
namespace {

using testing::HasSubstr;

// A kernel of any body.
struct Kernel {
  static constexpr int kThreads = 1024;
  static constexpr int kMinBlocks = 1;
  const std::function<void()>* body;
  void operator()() const {
    wait_for_predecessor();
    (*body)();
  }
};

class Twin : public testing::Test {
 protected:
  Twin() { use_seed(1); }
  ~Twin() override {
    EXPECT_EQ(twin::take_error(), "");
    twin::set_options({});
  }
  void use_seed(uint64_t seed) {
    twin::Options options;
    options.seed = seed;
    options.keep_errors = true;
    twin::set_options(options);
  }
  void run(const Shape& shape, const std::function<void()>& body) {
    launch(nullptr, shape, Kernel{&body});
  }
};

TEST_F(Twin, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> runs(7 * 3 * 96);
  run({7, 3, 96, 0}, [&] {
    EXPECT_EQ(thread_count(), 96);
    EXPECT_EQ(blocks_x(), 7);
    EXPECT_EQ(blocks_y(), 3);
    EXPECT_EQ(lane_index() + 32 * warp_index(), thread_index());
    ++runs[static_cast<size_t>((block_y() * 7 + block_x()) * 96 + thread_index())];
  });
  EXPECT_EQ(runs, std::vector<int>(runs.size(), 1));
}

TEST_F(Twin, SumOverABlock) {
  std::vector<float> sums(20);
  run({20, 1, 256, 8 * sizeof(float)}, [&] {
    auto* partial = reinterpret_cast<float*>(shared_memory());
    const float sum = sum_lanes<32>(static_cast<float>(thread_index() + block_x()));
    if (lane_index() == 0) partial[warp_index()] = sum;
    sync_block();
    const float all = sum_lanes<8>(lane_index() < 8 ? partial[lane_index()] : 0.0f);
    if (thread_index() == 0) sums[static_cast<size_t>(block_x())] = all;
  });
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(sums[static_cast<size_t>(i)], static_cast<float>(256 * 255 / 2 + 256 * i));
}

TEST_F(Twin, ALaneThatEndsEarly) {
  run({1, 1, 64, 0}, [] {
    if (thread_index() == 40) return;
    sync_warp();
  });
  const std::string error = twin::take_error();
  EXPECT_THAT(error, HasSubstr("Kernel, block (0, 0), thread "));
  EXPECT_THAT(error, HasSubstr("sync_warp(), twin_test.cpp:"));
  run({4, 1, 64, 0}, [] { sync_warp(); });
}

}  // namespace
}  // namespace krait::cuda
