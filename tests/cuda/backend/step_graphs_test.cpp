// Steps that are recorded and replayed read what was given last.
#include "src/backend/cuda/step_graphs.h"

#include <gtest/gtest.h>

#include "kernels/cuda/twin/recording.h"

namespace krait {
namespace {

// The graphs alone: an operation that copies the ids of a step.
class StepGraphsTest : public testing::Test {
 protected:
  // Runs a step; true when it was replayed.
  bool step(uint64_t workspace, std::vector<int32_t> ids) {
    std::vector<Segment> segments;
    std::vector<int32_t> rows;
    for (int32_t i = 0; i < std::ssize(ids); ++i) {
      segments.push_back({i, i, 1});
      rows.push_back(i);
    }
    const auto size = static_cast<int64_t>(ids.size() * sizeof(int32_t));
    bool replayed = false;
    do {
      replayed = graphs_.begin({workspace, ids, segments, rows, {nullptr, 0}});
      if (replayed) break;
      graphs_.limit_ids(1000);
      cuda::copy_on_device(nullptr, inputs_.ids(ids), out_.get(), size);
    } while (!graphs_.end());
    std::vector<int32_t> found(ids.size());
    cuda::copy_to_host(nullptr, out_.get(), found.data(), size);
    EXPECT_EQ(found, ids);
    return replayed;
  }

  cuda::StepInputs inputs_{nullptr};
  cuda::StepGraphs graphs_{nullptr, inputs_};
  cuda::DeviceMemory out_ = cuda::allocate_device(1 << 20);
};

TEST_F(StepGraphsTest, TheThirdStepOfAKindIsReplayed) {
  step(9, {0});  // makes the inputs' memory, which forgets graphs
  for (const uint64_t workspace : {1, 2})
    for (const bool two : {false, true}) {
      EXPECT_FALSE(step(workspace, two ? std::vector{1, 2} : std::vector{3}));
      EXPECT_FALSE(step(workspace, two ? std::vector{4, 5} : std::vector{6}));
      EXPECT_TRUE(step(workspace, two ? std::vector{7, 8} : std::vector{9}));
      EXPECT_TRUE(step(workspace, two ? std::vector{8, 7} : std::vector{10}));
    }
  EXPECT_TRUE(step(1, {11}));
  EXPECT_TRUE(step(2, {12, 13}));
}

TEST_F(StepGraphsTest, TheGraphUsedLeastRecentlyGivesWay) {
  step(999, {0});
  for (uint64_t workspace = 1; workspace <= 64; ++workspace)
    for (int i = 0; i < 2; ++i) step(workspace, {1});
  EXPECT_TRUE(step(1, {2}));
  EXPECT_FALSE(step(65, {3}));  // the 65th: takes the place of 2
  EXPECT_TRUE(step(1, {4}));
  EXPECT_TRUE(step(3, {4}));
  EXPECT_FALSE(step(2, {5}));
}

TEST_F(StepGraphsTest, GrowingInputsForgetTheGraphs) {
  for (int i = 0; i < 4; ++i) step(1, {i});
  EXPECT_TRUE(step(1, {7}));
  step(2, std::vector<int32_t>(20000, 5));
  EXPECT_FALSE(step(1, {8}));
  EXPECT_FALSE(step(1, {9}));
  EXPECT_TRUE(step(1, {10}));
}

TEST_F(StepGraphsTest, AStepThatFailedWhileItWasRecordedIsRecordedAgain) {
  step(1, {0});
  step(1, {1});
  const std::vector<int32_t> ids = {2}, rows = {0};
  const Segment segment{0, 0, 1};
  EXPECT_FALSE(graphs_.begin({1, ids, {&segment, 1}, rows, {nullptr, 0}}));  // and no end()
  EXPECT_FALSE(step(1, {2}));
  EXPECT_TRUE(step(1, {3}));
}

TEST_F(StepGraphsTest, WhereNoGraphCanBeMadeStepsRunOneByOne) {
  for (int i = 0; i < 3; ++i) step(1, {i});
  EXPECT_EQ(graphs_.failure(), "");
  cuda::twin::refuse_graphs = true;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(step(2, {i}));
  cuda::twin::refuse_graphs = false;
  EXPECT_EQ(graphs_.failure(), "steps run without graphs: no graph");
  EXPECT_FALSE(step(1, {7}));
}

}  // namespace
}  // namespace krait
