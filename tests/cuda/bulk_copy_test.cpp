// Bulk copies and their barriers on the twin: what they promise, and each error seen to fire.
#include "kernels/cuda/bulk_copy.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "tests/cuda/twin_support.h"

namespace krait::cuda {
namespace {

using testing::HasSubstr;

constexpr size_t kBarrierAt = 1024;  // behind what is copied

class BulkCopy : public TwinTest {
 protected:
  BulkCopy() { std::iota(source_, source_ + kWords, 1u); }

  static std::byte* place() { return shared_memory(); }
  static CopyBarrier* barrier(int i = 0) {
    return reinterpret_cast<CopyBarrier*>(shared_memory() + kBarrierAt) + i;
  }
  static uint32_t word(int i) {
    uint32_t value;
    std::memcpy(&value, place() + 4 * i, 4);
    return value;
  }
  // With two barriers for one thread's arrival each.
  static std::string error_of_one(const std::function<void()>& body) {
    return error_of({1, 1, 32, kBarrierAt + 16}, [&] {
      if (thread_index() != 0) return;
      barrier_init(barrier(0), 1);
      barrier_init(barrier(1), 1);
      body();
    });
  }

  static constexpr int kWords = 256;
  alignas(16) uint32_t source_[kWords];
};

// A ring of two stages: a thread fills them, others read them, for many rounds.
TEST_F(BulkCopy, ARingHandsOverEveryRound) {
  constexpr int kRounds = 50, kStages = 2, kReaders = 64;
  std::vector<uint32_t> data(kRounds * 16);
  std::iota(data.begin(), data.end(), 1u);
  std::byte* const from = reinterpret_cast<std::byte*>(data.data());
  ASSERT_EQ(reinterpret_cast<uintptr_t>(from) % 16, 0u);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    use_seed(seed);
    std::vector<uint32_t> sums(3 * kReaders);
    run({3, 1, kReaders + 32, kBarrierAt + 32}, [&] {
      if (thread_index() == 0)
        for (int s = 0; s < kStages; ++s) {
          barrier_init(barrier(s), 1);
          barrier_init(barrier(kStages + s), kReaders);
        }
      sync_block();
      for (int round = 0; round < kRounds; ++round) {
        const int stage = round % kStages, parity = round / kStages % 2;
        if (thread_index() == kReaders) {
          barrier_wait(barrier(kStages + stage), parity ^ 1);
          barrier_arrive_expecting(barrier(stage), 64);
          bulk_copy(place() + stage * 64, from + round * 64, 32, barrier(stage));
          bulk_copy(place() + stage * 64 + 32, from + round * 64 + 32, 32, barrier(stage));
        } else if (thread_index() < kReaders) {
          barrier_wait(barrier(stage), parity);
          for (int i = 0; i < 16; ++i)
            sums[static_cast<size_t>(block_x() * kReaders + thread_index())] +=
                word(stage * 16 + i);
          barrier_arrive(barrier(kStages + stage));
        }
      }
    });
    constexpr uint32_t kSum = kRounds * 16 * (kRounds * 16 + 1) / 2;
    EXPECT_THAT(sums, testing::Each(kSum)) << "seed " << seed;
  }
}

TEST_F(BulkCopy, ComesNoSoonerThanItsPhaseIsSeenToEnd) {
  EXPECT_EQ(error_of_one([&] {
              bulk_copy(place(), source_, 64, barrier());
              EXPECT_EQ(word(0), ~0u);
              barrier_wait(barrier(), 1);  // the phase before
              barrier_arrive_expecting(barrier(), 64);
              EXPECT_EQ(word(15), ~0u);
              barrier_wait(barrier(), 0);
              EXPECT_EQ(word(0), 1u);
              EXPECT_EQ(word(15), 16u);
              EXPECT_EQ(word(16), ~0u);
            }),
            "");
}

TEST_F(BulkCopy, AWaitForWhatNeverComes) {
  EXPECT_THAT(error_of_one([&] { barrier_wait(barrier(), 0); }),
              HasSubstr("no thread can go on\n  0: at barrier_wait(), bulk_copy_test.cpp:"));
  EXPECT_THAT(error_of_one([&] {  // fewer bytes than expected, more than expected
                barrier_arrive_expecting(barrier(), 32);
                bulk_copy(place(), source_, 16, barrier());
                barrier_wait(barrier(), 0);
              }),
              HasSubstr("no thread can go on"));
  EXPECT_THAT(error_of_one([&] {
                barrier_arrive_expecting(barrier(), 32);
                bulk_copy(place(), source_, 48, barrier());
                barrier_wait(barrier(), 0);
              }),
              HasSubstr("no thread can go on"));
}

TEST_F(BulkCopy, BarriersThatAreNone) {
  EXPECT_THAT(error_of_one([&] { barrier_arrive(barrier() + 2); }),
              HasSubstr("a barrier without barrier_init()"));
  EXPECT_THAT(error_of_one([&] { barrier_wait(reinterpret_cast<CopyBarrier*>(place()), 0); }),
              HasSubstr("a barrier without barrier_init()"));
  EXPECT_THAT(error_of_one([&] { barrier_init(barrier() + 2, 1); }),
              HasSubstr("a barrier that is not in the block's shared memory"));
  EXPECT_THAT(error_of_one([&] {
                barrier_arrive_expecting(barrier(), 16);
                barrier_arrive(barrier());
              }),
              HasSubstr("arrives at a phase at which all have arrived"));
}

TEST_F(BulkCopy, CopiesThatCannotBe) {
  const auto error = [&](std::byte* to, const void* from, int bytes) {
    return error_of_one([&] { bulk_copy(to ? to : place(), from, bytes, barrier()); });
  };
  const auto odd = HasSubstr("a bulk_copy() whose ends or bytes are not multiples of 16");
  EXPECT_THAT(error(nullptr, source_ + 1, 16), odd);
  EXPECT_THAT(error(nullptr, source_, 24), odd);
  EXPECT_THAT(error(nullptr, source_, 0), odd);
  EXPECT_THAT(error(reinterpret_cast<std::byte*>(source_), source_, 16),
              HasSubstr("the destination of bulk_copy() is not within the block's shared memory"));
}

TEST_F(BulkCopy, CopiesWhoseEndsChangeUnderWay) {
  EXPECT_THAT(error_of_one([&] {
                barrier_arrive_expecting(barrier(), 16);
                bulk_copy(place(), source_, 16, barrier());
                source_[3] = 0;
                barrier_wait(barrier(), 0);
              }),
              HasSubstr("the source of this bulk_copy() changed under way"));
  EXPECT_THAT(error_of_one([&] {
                barrier_arrive_expecting(barrier(), 16);
                bulk_copy(place(), source_, 16, barrier());
                place()[3] = std::byte{0};
                barrier_wait(barrier(), 0);
              }),
              HasSubstr("the destination of this bulk_copy() was written under way"));
}

TEST_F(BulkCopy, ABlockThatEndsBeforeItsCopies) {
  EXPECT_THAT(error_of_one([&] {
                barrier_arrive_expecting(barrier(), 16);
                bulk_copy(place(), source_, 16, barrier());
              }),
              HasSubstr("its block ends before it waited for this bulk_copy()"));
}

}  // namespace
}  // namespace krait::cuda
