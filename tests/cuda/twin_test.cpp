// What the twin of the device layer computes, and in which orders.
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "krait/dtype.h"
#include "tests/cuda/twin_support.h"

namespace krait::cuda {
namespace {

TEST_F(TwinTest, EveryThreadOfEveryBlockRunsOnce) {
  for (const int threads : {32, 96, 512})
    for (const int blocks_alive : {1, 4, 100}) {
      options_.blocks_alive = blocks_alive;
      use_seed(5);
      std::vector<int> runs(static_cast<size_t>(7 * 3 * threads));
      run({7, 3, threads, 0}, [&] {
        EXPECT_EQ(thread_count(), threads);
        EXPECT_EQ(blocks_x(), 7);
        EXPECT_EQ(blocks_y(), 3);
        EXPECT_EQ(lane_index() + 32 * warp_index(), thread_index());
        if (threads == 96) sync_block();
        ++runs[static_cast<size_t>((block_y() * 7 + block_x()) * threads + thread_index())];
      });
      EXPECT_THAT(runs, testing::Each(1));
    }
}

TEST_F(TwinTest, SharedMemoryBeginsAsNansInEveryBlockAndIsAligned) {
  const size_t bytes = 4 * 64 + 3;
  run({9, 1, 64, bytes}, [&] {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(shared_memory()) % 16, 0u);
    EXPECT_TRUE(std::isnan(shared_floats()[thread_index()]));
    EXPECT_EQ(shared_memory()[bytes - 1], std::byte{0xff});
    sync_block();
    shared_floats()[thread_index()] = 1;
    shared_memory()[bytes - 1] = std::byte{0};
  });
}

TEST_F(TwinTest, SumOverABlock) {
  std::vector<float> sums(20);
  run({20, 1, 256, 8 * sizeof(float)}, [&] {
    const float sum = sum_lanes<32>(static_cast<float>(thread_index() + block_x()));
    if (lane_index() == 0) shared_floats()[warp_index()] = sum;
    sync_block();
    const float all = sum_lanes<8>(lane_index() < 8 ? shared_floats()[lane_index()] : 0.0f);
    if (thread_index() == 0) sums[static_cast<size_t>(block_x())] = all;
  });
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(sums[static_cast<size_t>(i)], static_cast<float>(256 * 255 / 2 + 256 * i));
}

TEST_F(TwinTest, ShufflesTakeTheValueOfTheOtherLane) {
  run({3, 1, 64, 0}, [] {
    const int lane = lane_index();
    const auto number = [](int l) { return static_cast<uint32_t>(warp_index() * 1000 + l); };
    const auto real = [](int l) { return 0.5f * static_cast<float>(warp_index() * 1000 + l); };
    for (int n = 0; n < 32; ++n) {
      const int other = (lane * n + 5) % 32;
      EXPECT_EQ(shuffle_xor(number(lane), n), number(lane ^ n));
      EXPECT_EQ(shuffle_xor(real(lane), n), real(lane ^ n));
      EXPECT_EQ(shuffle(number(lane), other), number(other));
      EXPECT_EQ(shuffle(real(lane), other), real(other));
    }
  });
}

// A shuffle moves bits: NaNs keep theirs.
TEST_F(TwinTest, ShufflesKeepAllBits) {
  run({1, 1, 32, 0}, [] {
    const uint32_t bits = 0x7f800001u + static_cast<uint32_t>(lane_index());
    EXPECT_EQ(bits_of_float(shuffle_xor(float_of_bits(bits), 1)),
              0x7f800001u + static_cast<uint32_t>(lane_index() ^ 1));
  });
}

// Matrices for mma_bf16, and what a lane holds of them by the words of device.h.
struct Matrices {
  float a[16][16], b[16][8], d[16][8];

  explicit Matrices(uint32_t seed) {
    std::mt19937 random(seed);
    const auto fill = [&](float* values, size_t count, bool round) {
      for (size_t i = 0; i < count; ++i) {
        const float value = std::ldexp(static_cast<float>(random()) - 2e9f, int(random() % 6) - 33);
        values[i] = round ? f32_from_bf16(bf16_from_f32(value)) : value;
      }
    };
    fill(a[0], 256, true);
    fill(b[0], 128, true);
    fill(d[0], 128, false);
  }
  static uint32_t pair(float first, float second) {
    return bf16_from_f32(first) | uint32_t{bf16_from_f32(second)} << 16;
  }
  std::array<uint32_t, 4> a_of(int lane) const {
    const int g = lane / 4, i = lane % 4 * 2;
    return {pair(a[g][i], a[g][i + 1]), pair(a[g + 8][i], a[g + 8][i + 1]),
            pair(a[g][i + 8], a[g][i + 9]), pair(a[g + 8][i + 8], a[g + 8][i + 9])};
  }
  std::array<uint32_t, 2> b_of(int lane) const {
    const int g = lane / 4, i = lane % 4 * 2;
    return {pair(b[i][g], b[i + 1][g]), pair(b[i + 8][g], b[i + 9][g])};
  }
  float sum(int row, int col) const {
    float total = d[row][col];
    for (int k = 0; k < 16; ++k) total += a[row][k] * b[k][col];
    return total;
  }
};

TEST_F(TwinTest, MmaIsThePlainProduct) {
  run({2, 1, 128, 0}, [] {
    for (uint32_t round = 0; round < 5; ++round) {
      const Matrices m(round * 100 + static_cast<uint32_t>(warp_index()));
      const int g = lane_index() / 4, i = lane_index() % 4 * 2;
      const auto a = m.a_of(lane_index());
      const auto b = m.b_of(lane_index());
      uint32_t fa[4], fb[2];
      std::memcpy(fa, a.data(), sizeof fa);
      std::memcpy(fb, b.data(), sizeof fb);
      float d[4] = {m.d[g][i], m.d[g][i + 1], m.d[g + 8][i], m.d[g + 8][i + 1]};
      mma_bf16(d, fa, fb);
      EXPECT_EQ(d[0], m.sum(g, i));
      EXPECT_EQ(d[1], m.sum(g, i + 1));
      EXPECT_EQ(d[2], m.sum(g + 8, i));
      EXPECT_EQ(d[3], m.sum(g + 8, i + 1));
    }
  });
}

TEST_F(TwinTest, LoadMatricesByTheWordsOfTheHeader) {
  // Rows of 16 bytes anywhere: row r of matrix m at 16 * (37 * (8 m + r) % 64).
  const auto place = [](int matrix, int row) { return 16 * (37 * (8 * matrix + row) % 64); };
  run({1, 1, 32, 1024}, [&] {
    auto* values = reinterpret_cast<uint16_t*>(shared_memory());
    for (int i = lane_index(); i < 512; i += 32) values[i] = static_cast<uint16_t>(i);
    sync_warp();
    const int lane = lane_index();
    uint32_t out[4];
    load_matrices(out, shared_memory() + place(lane / 8, lane % 8));
    for (int m = 0; m < 4; ++m) {
      const uint32_t first = static_cast<uint32_t>(place(m, lane / 4) / 2 + lane % 4 * 2);
      EXPECT_EQ(out[m], first | (first + 1) << 16);
    }
  });
}

// ---- copies -------------------------------------------------------------------------------------

TEST_F(TwinTest, ACopyHappensAtItsWaitAndNotBefore) {
  alignas(16) std::byte source[64];
  std::memset(source, 7, sizeof source);
  const auto holds = [](int at, int value) {
    const std::byte* bytes = shared_memory() + at;
    return std::all_of(bytes, bytes + 16, [&](std::byte b) { return b == std::byte(value); });
  };
  run({1, 1, 32, 64}, [&] {
    if (thread_index() != 3) return;
    std::memset(shared_memory(), 1, 64);
    copy_async(shared_memory(), source);
    copy_async(shared_memory() + 16, source + 16);
    copy_commit();
    copy_async(shared_memory() + 32, nullptr, false);
    EXPECT_TRUE(holds(0, 255) && holds(16, 255) && holds(32, 255) && holds(48, 1));
    copy_wait<1>();  // the first group is the last one committed
    EXPECT_TRUE(holds(0, 255) && holds(16, 255) && holds(32, 255));
    copy_commit();
    copy_wait<2>();
    EXPECT_TRUE(holds(0, 255) && holds(16, 255) && holds(32, 255));
    copy_wait<1>();
    EXPECT_TRUE(holds(0, 7) && holds(16, 7) && holds(32, 255));
    copy_async(shared_memory() + 48, source);
    copy_wait<0>();  // not of what is not committed
    EXPECT_TRUE(holds(32, 0) && holds(48, 255));
    copy_commit();
    copy_wait<0>();
    EXPECT_TRUE(holds(48, 7));
  });
}

TEST_F(TwinTest, LoadStreamReadsSixteenBytes) {
  alignas(16) const uint32_t source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  run({1, 1, 32, 0}, [&] {
    const Word4 v = load_stream(source + 4);
    EXPECT_EQ(v.x, 5u);
    EXPECT_EQ(v.y, 6u);
    EXPECT_EQ(v.z, 7u);
    EXPECT_EQ(v.w, 8u);
  });
}

// ---- orders -------------------------------------------------------------------------------------

class TwinOrder : public TwinTest {
 protected:
  // Warps hand values on through shared memory; right only with the sync_block().
  std::vector<int> hand_on(bool sync) {
    std::vector<int> got(128);
    run({1, 1, 128, 128 * sizeof(int)}, [&] {
      auto* values = reinterpret_cast<int*>(shared_memory());
      values[thread_index()] = thread_index();
      if (sync) sync_block();
      got[static_cast<size_t>(thread_index())] = values[(thread_index() + 32) % 128];
    });
    return got;
  }
  // The order in which threads come by, as x, y and thread in one number.
  std::vector<int> order(const Shape& shape) {
    std::vector<int> seen;
    run(shape, [&] {
      sync_warp();
      seen.push_back((block_y() * blocks_x() + block_x()) * thread_count() + thread_index());
    });
    return seen;
  }
};

TEST_F(TwinOrder, RandomOrdersShowAMissingSyncBlock) {
  std::set<std::vector<int>> with, without;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    use_seed(seed);
    with.insert(hand_on(true));
    without.insert(hand_on(false));
  }
  std::vector<int> right(128);
  for (int i = 0; i < 128; ++i) right[static_cast<size_t>(i)] = (i + 32) % 128;
  EXPECT_EQ(with, std::set{right});
  EXPECT_GT(without.size(), 10u);
  EXPECT_EQ(without.count(right), 0u);
}

TEST_F(TwinOrder, LanesAreNotInLockstep) {
  int stale = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    use_seed(seed);
    run({1, 1, 32, 128}, [&] {
      sync_warp();
      shared_floats()[lane_index()] = 1;
      // Missing: sync_warp()
      if (std::isnan(shared_floats()[lane_index() ^ 1])) ++stale;
      sync_warp();
      EXPECT_EQ(shared_floats()[lane_index() ^ 1], 1);
    });
  }
  EXPECT_GT(stale, 20);
}

TEST_F(TwinOrder, ACopyIsSeenByOthersOnlyAfterASyncBlock) {
  alignas(16) const float source[4] = {1, 2, 3, 4};
  int early = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    use_seed(seed);
    run({1, 1, 64, 16}, [&] {
      if (thread_index() == 0) copy_async(shared_memory(), source);
      copy_commit();
      copy_wait<0>();
      if (std::isnan(shared_floats()[0])) ++early;
      sync_block();
      EXPECT_EQ(shared_floats()[0], 1);
    });
  }
  EXPECT_GT(early, 20);
}

TEST_F(TwinOrder, TheSeedDecides) {
  const Shape shape{6, 2, 64, 0};
  const std::vector<int> first = order(shape), second = order(shape);
  EXPECT_NE(first, second);  // launches differ
  use_seed(1);
  EXPECT_EQ(order(shape), first);
  EXPECT_EQ(order(shape), second);
  use_seed(2);
  EXPECT_NE(order(shape), first);
}

TEST_F(TwinOrder, BlocksStartInAnyOrderAndOverlap) {
  for (const int blocks_alive : {1, 3}) {
    options_.blocks_alive = blocks_alive;
    std::set<int> first;
    int returns = 0;  // to a block after another
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      use_seed(seed);
      const std::vector<int> seen = order({6, 1, 64, 0});
      first.insert(seen[0] / 64);
      int changes = 0;
      for (size_t i = 1; i < seen.size(); ++i) changes += seen[i] / 64 != seen[i - 1] / 64;
      returns += changes - 5;
    }
    EXPECT_EQ(first.size(), 6u);
    if (blocks_alive == 1)
      EXPECT_EQ(returns, 0);
    else
      EXPECT_GT(returns, 30);
  }
}

// The last block to finish adds up what all have written.
TEST_F(TwinOrder, CountersOrderBlocks) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    use_seed(seed);
    std::vector<int> parts(9);
    uint32_t counter = 0;
    int total = 0, last = 0;
    run({9, 1, 32, 0}, [&] {
      if (thread_index() != 0) return;
      parts[static_cast<size_t>(block_x())] = block_x() + 1;
      if (add_and_order(&counter, 1) != 8) return;
      ++last;
      total = std::accumulate(parts.begin(), parts.end(), 0);
    });
    EXPECT_EQ(last, 1);
    EXPECT_EQ(total, 45);
  }
}

TEST_F(TwinOrder, ABlockMayWaitForOneThatIsAlive) {
  uint32_t ready = 0;
  run({4, 1, 32, 0}, [&] {
    if (block_x() == 3)
      add_and_order(&ready, 1);
    else
      while (add_and_order(&ready, 0) < 32) continue;
  });
  EXPECT_EQ(ready, 32u);
}

TEST_F(TwinTest, ThreadsOfTheSystemLaunchSideBySide) {
  std::vector<std::thread> threads;
  std::array<float, 4> sums{};
  for (float& sum : sums)
    threads.emplace_back([&sum] {
      for (int i = 0; i < 10; ++i)
        run({4, 1, 64, 0}, [&] {
          const float all = sum_lanes<32>(1);
          if (thread_index() == 0) sum += all;
        });
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(sums, testing::Each(10 * 4 * 32));
}

}  // namespace
}  // namespace krait::cuda
