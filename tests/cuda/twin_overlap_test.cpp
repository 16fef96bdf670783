// Launches that begin before the one before them has: what device.h says of wait_for_predecessor().
#include <vector>

#include "tests/cuda/twin_support.h"

namespace krait::cuda {
namespace {

constexpr int kThreads = 64;

enum class Early { nothing, read, write };

// out[i] = 2 in[i] + 1; then wipes in[i]. Or does one of them too early.
struct Step {
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 1;
  float* in;
  float* out;
  Early early = Early::nothing;

  void operator()() const {
    const int i = block_x() * thread_count() + thread_index();
    float value = 0;
    if (early == Early::read) value = in[i];
    if (early == Early::write) out[i] = 0;
    sync_block();
    wait_for_predecessor();
    if (early != Early::read) value = in[i];
    out[i] = 2 * value + 1;
    in[i] = -1;
    release_successor();
  }
};

class TwinOverlap : public TwinTest {
 protected:
  TwinOverlap() { options_.overlap = true; }

  // The result of a chain of steps of which the middle one may be too early.
  std::vector<float> chain(Early early, int blocks) {
    const auto count = static_cast<size_t>(blocks * kThreads);
    std::vector<float> x(count, 3), y(count, 5), z(count, 7), last(count);
    const Shape shape{blocks, 1, kThreads, 0};
    launch(nullptr, shape, Step{x.data(), y.data()});
    // Writing x too early spoils what the first step reads.
    launch(nullptr, shape, Step{y.data(), early == Early::write ? x.data() : z.data(), early});
    launch(nullptr, shape, Step{early == Early::write ? x.data() : z.data(), last.data()});
    twin::finish();
    return last;
  }
};

TEST_F(TwinOverlap, StepsThatWaitGiveTheSame) {
  for (uint64_t seed = 1; seed <= 5; ++seed)
    for (const int blocks : {1, 3, 9}) {
      use_seed(seed);
      EXPECT_THAT(chain(Early::nothing, blocks), testing::Each(31));
    }
}

TEST_F(TwinOverlap, AReadTooEarlyMeetsOldValues) {
  use_seed(1);
  EXPECT_THAT(chain(Early::read, 3), testing::Each(23));  // 2 * (2 * 5 + 1) + 1
}

TEST_F(TwinOverlap, AWriteTooEarlyMeetsReaders) {
  use_seed(1);
  EXPECT_THAT(chain(Early::write, 3), testing::Each(7));  // the first step read 0
}

TEST_F(TwinOverlap, WithoutItNothingShows) {
  options_.overlap = false;
  use_seed(1);
  EXPECT_THAT(chain(Early::read, 3), testing::Each(31));
  EXPECT_THAT(chain(Early::write, 3), testing::Each(31));
}

TEST_F(TwinOverlap, ALaunchIsHeldUntilTheNextOrFinish) {
  use_seed(1);
  std::vector<float> x(kThreads, 1), y(kThreads, 0), z(kThreads, 0);
  const Shape shape{1, 1, kThreads, 0};
  launch(nullptr, shape, Step{x.data(), y.data()});
  EXPECT_EQ(y[0], 0);
  launch(nullptr, shape, Step{y.data(), z.data()});
  EXPECT_EQ(x[0], -1);
  EXPECT_EQ(y[0], 3);
  EXPECT_EQ(z[0], 0);
  twin::finish();
  EXPECT_EQ(z[0], 7);
  twin::finish();
  EXPECT_EQ(z[0], 7);
  // One that does not overlap ends those before it first.
  launch(nullptr, shape, Step{z.data(), x.data()});
  options_.overlap = false;
  use_seed(1);
  launch(nullptr, shape, Step{x.data(), y.data()});
  EXPECT_EQ(y[0], 31);
}

TEST_F(TwinOverlap, AHeldLaunchKeepsItsArguments) {
  use_seed(1);
  std::vector<float> x(kThreads, 1), y(kThreads, 0), z(kThreads, 0);
  Step step{x.data(), y.data()};
  twin::run(1, 1, kThreads, 0, step);
  step.out = z.data();
  twin::finish();
  EXPECT_EQ(y[0], 3);
  EXPECT_EQ(z[0], 0);
}

struct Fails {
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 1;
  bool before;
  void operator()() const {
    if (before) shuffle(1.0f, 40);
    wait_for_predecessor();
    shuffle(1.0f, 50);
  }
};

TEST_F(TwinOverlap, AnErrorEndsHeldLaunchesToo) {
  for (const bool before : {false, true}) {
    use_seed(1);
    std::vector<float> x(kThreads, 1), y(kThreads, 0), z(kThreads, 0);
    const Shape shape{1, 1, kThreads, 0};
    launch(nullptr, shape, Step{x.data(), y.data()});
    launch(nullptr, shape, Fails{before});
    launch(nullptr, shape, Step{y.data(), z.data()});
    EXPECT_THAT(twin::take_error(),
                testing::HasSubstr(before ? "shuffle() is 40" : "shuffle() is 50"));
    twin::finish();
    EXPECT_EQ(twin::take_error(), "");
    EXPECT_EQ(y[0], before ? 0 : 3);
    EXPECT_EQ(z[0], 0);
    twin::finish();
    EXPECT_EQ(z[0], 0);
    launch(nullptr, shape, Step{x.data(), z.data()});
    twin::finish();
    EXPECT_NE(z[0], 0);
  }
}

}  // namespace
}  // namespace krait::cuda
