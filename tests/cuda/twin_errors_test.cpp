// Each check of the twin, seen to fire.
#include <cstring>

#include "tests/cuda/twin_support.h"

#if defined(__SANITIZE_ADDRESS__)
#define KRAIT_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KRAIT_TEST_ASAN 1
#endif
#endif

namespace krait::cuda {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

class TwinErrors : public TwinTest {
 protected:
  // Under many orders: the error shows elsewhere under each.
  template <class Matcher>
  void expect_always(const Shape& shape, const std::function<void()>& body,
                     const Matcher& matcher) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      use_seed(seed);
      EXPECT_THAT(error_of(shape, body), matcher) << "seed " << seed;
    }
  }
};

// ---- collectives --------------------------------------------------------------------------------

TEST_F(TwinErrors, ALaneThatEndsWhileOthersWait) {
  expect_always(
      {1, 1, 64, 0},
      [] {
        if (thread_index() != 40) sync_warp();
      },
      ContainsRegex("kernel .*Bare, block \\(0, 0\\), thread [0-9]+.*: "
                    "(ends while lanes of its warp wait for it"
                    "|waits for lanes of its warp that have ended)\n"));
  uint32_t ended = 0;
  EXPECT_THAT(error_of({1, 1, 32, 0},
                       [&] {
                         if (lane_index() == 9) {
                           ended = 1;
                           return;
                         }
                         while (add_and_order(&ended, 0) == 0) continue;
                         for (int i = 0; i < 1000; ++i) add_and_order(&ended, 0);
                         shuffle(1.0f, 0);
                       }),
              HasSubstr("waits for lanes of its warp that have ended\n"));
}

TEST_F(TwinErrors, TheReportSaysWhatEveryThreadWaitsFor) {
  // Warp 1 ends; warp 0 is at sync_block(); lane 5 of warp 2, which comes last, at shuffle().
  uint32_t arrived = 0;
  const std::string error = error_of({1, 1, 96, 0}, [&] {
    add_and_order(&arrived, 1);
    if (warp_index() == 1) return;
    if (thread_index() == 69) {
      while (add_and_order(&arrived, 0) < 96) continue;
      for (int i = 0; i < 5000; ++i) add_and_order(&arrived, 0);
      shuffle(1.0f, 0);
    } else if (warp_index() == 2) {
      sync_warp();
    } else {
      while (add_and_order(&arrived, 0) < 97) continue;
    }
  });
  EXPECT_THAT(error,
              ContainsRegex("thread 69, at twin_errors_test.cpp:[0-9]+: waits at another "
                            "place than lanes of its warp\n"
                            "  0-31: can go on\n"
                            "  32-63: ended\n"
                            "  64-68, 70-95: at sync_warp\\(\\), twin_errors_test.cpp:[0-9]+\n"
                            "  69: at shuffle\\(\\), twin_errors_test.cpp:[0-9]+$"));
}

TEST_F(TwinErrors, LanesAtDifferentCollectives) {
  const auto same = HasSubstr("waits at another place than lanes of its warp");
  expect_always(
      {1, 1, 32, 0},
      [] {
        if (lane_index() < 16)
          shuffle(1.0f, 0);
        else
          shuffle_xor(1.0f, 1);
      },
      same);
  expect_always(
      {1, 1, 32, 0},
      [] {
        if (lane_index() < 16)
          shuffle(1.0f, 0);
        else
          shuffle(1.0f, 0);
      },
      same);
  expect_always(
      {1, 1, 64, 0},
      [] {
        if (thread_index() == 7)
          sync_warp();
        else
          sync_block();
      },
      same);
}

TEST_F(TwinErrors, ThreadsThatMissASyncBlock) {
  // A lane that ends, a warp that does, and one that meets at another place.
  expect_always(
      {1, 1, 64, 0},
      [] {
        if (thread_index() != 3) sync_block();
      },
      AllOf(HasSubstr("sync_block"), ContainsRegex("that have ended|ends while")));
  expect_always(
      {1, 1, 64, 0},
      [] {
        if (warp_index() != 1) sync_block();
      },
      ContainsRegex("waits for threads of its block that have ended"
                    "|ends while threads of its block wait for it"));
  expect_always(
      {1, 1, 64, 0},
      [] {
        if (warp_index() == 0)
          sync_block();
        else
          sync_block();
      },
      HasSubstr("waits at another place than threads of its block"));
}

TEST_F(TwinErrors, LanesOutOfRange) {
  EXPECT_THAT(error_of({1, 1, 32, 0}, [] { shuffle(1.0f, 32); }),
              HasSubstr("the lane of shuffle() is 32: expected 0 to 31"));
  EXPECT_THAT(error_of({1, 1, 32, 0}, [] { shuffle_xor(1.0f, -1); }),
              HasSubstr("the mask of shuffle_xor() is -1: expected 0 to 31"));
}

// ---- waiting without end ------------------------------------------------------------------------

TEST_F(TwinErrors, ABlockThatWaitsForOneThatHasNotStarted) {
  options_.blocks_alive = 3;
  options_.most_switches = 100000;
  use_seed(1);
  uint32_t started = 0;
  EXPECT_THAT(error_of({4, 1, 32, 0},
                       [&] {
                         add_and_order(&started, 1);
                         while (add_and_order(&started, 0) < 4 * 32) continue;
                       }),
              HasSubstr("more than 100000 switches between threads"));
}

// ---- memory -------------------------------------------------------------------------------------

TEST_F(TwinErrors, MisalignedAddresses) {
  alignas(16) static std::byte source[64] = {};
  EXPECT_THAT(error_of({1, 1, 32, 64}, [] { load_stream(source + 4); }),
              HasSubstr("the address of load_stream() is not 16-byte aligned (4 bytes beyond)"));
  EXPECT_THAT(error_of({1, 1, 32, 64}, [] { copy_async(shared_memory(), source + 8); }),
              HasSubstr("the source of copy_async() is not 16-byte aligned (8 bytes beyond)"));
  EXPECT_THAT(error_of({1, 1, 32, 64}, [] { copy_async(shared_memory() + 4, source); }),
              HasSubstr("the destination of copy_async() is not 16-byte aligned"));
  uint32_t out[4];
  EXPECT_THAT(error_of({1, 1, 32, 64}, [&] { load_matrices(out, shared_memory() + 2); }),
              HasSubstr("the row of load_matrices() is not 16-byte aligned"));
}

TEST_F(TwinErrors, AddressesOutsideSharedMemory) {
  alignas(16) static std::byte source[64] = {};
  EXPECT_THAT(error_of({1, 1, 32, 40}, [] { copy_async(shared_memory() + 32, source); }),
              HasSubstr("the destination of copy_async() is not within the block's 40 bytes"));
  EXPECT_THAT(error_of({1, 1, 32, 40}, [] { copy_async(shared_memory() - 16, source); }),
              HasSubstr("the destination of copy_async() is not within"));
  uint32_t out[4];
  EXPECT_THAT(error_of({1, 1, 32, 0}, [&] { load_matrices(out, source); }),
              HasSubstr("the row of load_matrices() is not within the block's 0 bytes"));
}

TEST_F(TwinErrors, WritesBesideSharedMemory) {
  for (const int at : {-1, 37, 37 + 15}) {
    const auto stray = [at] { shared_memory()[at] = std::byte{1}; };
#if defined(KRAIT_TEST_ASAN)
    EXPECT_DEATH(run({1, 1, 32, 37}, stray), "heap-buffer-overflow");
#else
    EXPECT_THAT(error_of({1, 1, 32, 37}, stray),
                HasSubstr("its block wrote before or behind its 37 bytes of shared memory"));
#endif
  }
}

TEST_F(TwinErrors, CopiesWhoseEndsChangeUnderWay) {
  alignas(16) std::byte source[16] = {};
  EXPECT_THAT(error_of({1, 1, 32, 64},
                       [&] {
                         if (thread_index() != 0) return;
                         copy_async(shared_memory(), source);
                         copy_commit();
                         source[3] = std::byte{1};
                         copy_wait<0>();
                       }),
              HasSubstr("the source of this copy_async() changed before copy_wait()"));
  EXPECT_THAT(error_of({1, 1, 32, 64},
                       [&] {
                         if (thread_index() != 0) return;
                         copy_async(shared_memory(), source);
                         copy_commit();
                         shared_memory()[3] = std::byte{1};
                         copy_wait<0>();
                       }),
              HasSubstr("the destination of this copy_async() was written before copy_wait()"));
}

// ---- order between kernels ----------------------------------------------------------------------

TEST_F(TwinErrors, EveryThreadWaitsForThePredecessorOnce) {
  run_bare({2, 1, 64, 0}, [] {
    if (thread_index() != 33) wait_for_predecessor();
  });
  EXPECT_THAT(twin::take_error(), HasSubstr("thread 33: ends without wait_for_predecessor()"));
  run_bare({2, 1, 64, 0}, [] {
    wait_for_predecessor();
    if (thread_index() == 12) wait_for_predecessor();
  });
  EXPECT_THAT(twin::take_error(),
              ContainsRegex("thread 12.*: wait_for_predecessor\\(\\) a second"));
}

// ---- launches and reports -----------------------------------------------------------------------

TEST_F(TwinErrors, LaunchesThatAGpuWouldRefuse) {
  int runs = 0;
  const auto error = [&](const Shape& shape) { return error_of(shape, [&] { ++runs; }); };
  EXPECT_THAT(error({0, 1, 32, 0}), HasSubstr("Bare: a grid of 0 x 1 blocks"));
  EXPECT_THAT(error({1, 0, 32, 0}), HasSubstr("a grid of 1 x 0 blocks"));
  EXPECT_THAT(error({int64_t{1} << 31, 1, 32, 0}), HasSubstr("a grid of 2147483648 x 1 blocks"));
  EXPECT_THAT(error({1, 65536, 32, 0}), HasSubstr("a grid of 1 x 65536 blocks"));
  EXPECT_THAT(error({1, 1, 0, 0}), HasSubstr("blocks of 0 threads"));
  EXPECT_THAT(error({1, 1, 48, 0}), HasSubstr("blocks of 48 threads: expected a multiple of 32"));
  EXPECT_THAT(error({1, 1, 544, 0}), HasSubstr("blocks of 544 threads: expected a multiple of 32, "
                                               "at most 512"));
  EXPECT_THAT(error({1, 1, 32, 232449}), HasSubstr("232449 bytes of shared memory"));
  EXPECT_EQ(runs, 0);
}

TEST_F(TwinErrors, AfterAnErrorNothingRunsUntilItIsTaken) {
  int runs = 0;
  EXPECT_EQ(twin::take_error(), "");
  run({0, 1, 32, 0}, [] {});
  run({1, 0, 32, 0}, [] {});
  run({1, 1, 32, 0}, [&] { ++runs; });
  EXPECT_EQ(runs, 0);
  EXPECT_THAT(twin::take_error(), HasSubstr("0 x 1"));
  EXPECT_EQ(twin::take_error(), "");
  run({1, 1, 32, 0}, [&] { ++runs; });
  EXPECT_EQ(runs, 32);
}

TEST_F(TwinErrors, AnErrorThatNobodyKeepsEndsTheProgram) {
  twin::set_options({});
  EXPECT_DEATH(
      run({1, 1, 32, 0}, [] { shuffle(1.0f, 99); }),
      "kernel .*Bare, block .0, 0., thread [0-9]+, at twin_errors_test.cpp:[0-9]+: the lane");
}

TEST_F(TwinErrors, ALaunchAfterAnErrorRunsAsAnyOther) {
  for (int i = 0; i < 4; ++i) {
    EXPECT_NE(error_of({8, 1, 512, 64},
                       [] {
                         sync_block();
                         if (thread_index() != 300) sync_block();
                       }),
              "");
    int runs = 0;
    run({8, 1, 512, 64}, [&] {
      sync_block();
      ++runs;
    });
    EXPECT_EQ(runs, 8 * 512);
  }
}

}  // namespace
}  // namespace krait::cuda
