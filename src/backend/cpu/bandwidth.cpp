#include "src/backend/cpu/bandwidth.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "src/base/clock.h"
#include "src/base/run_threads.h"

namespace krait {
namespace {

// Sum of all words, by independent chains wide enough for the compiler to make vectors of.
uint64_t read_all(const uint64_t* words, size_t count) {
  uint64_t sums[32] = {};
  for (size_t i = 0; i + 32 <= count; i += 32)
    for (size_t j = 0; j < 32; ++j) sums[j] += words[i + j];
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

double measure_read_bandwidth(int32_t threads) {
  constexpr size_t kBytes = size_t{256} << 20;  // well beyond any cache
  constexpr int kPasses = 12;
  const size_t words = kBytes / sizeof(uint64_t) / static_cast<size_t>(threads);
  std::vector<uint64_t> totals(threads);
  std::atomic<int> arrived{0};
  std::array<double, kPasses> ms{};
  // Every pass starts together and ends with the slowest thread.
  const auto barrier = [&](int pass) {
    arrived.fetch_add(1);
    while (arrived.load() < pass * threads) std::this_thread::yield();
  };
  std::vector<std::unique_ptr<uint64_t[]>> memories;  // before the start: who waits at a barrier
  for (int thread = 0; thread < threads; ++thread)    // cannot be told that another has none
    memories.push_back(std::make_unique_for_overwrite<uint64_t[]>(words));
  const auto work = [&](int thread) {
    uint64_t* memory = memories[thread].get();
    std::fill_n(memory, words, static_cast<uint64_t>(thread));
    for (int pass = 0; pass < kPasses; ++pass) {
      barrier(2 * pass + 1);
      const Stopwatch watch;
      totals[thread] += read_all(memory, words);
      barrier(2 * pass + 2);
      if (thread == 0) ms[pass] = watch.ms();
    }
  };
  run_threads(threads, work);
  volatile uint64_t keep = 0;  // the sums must not be optimised away
  for (const uint64_t total : totals) keep = keep + total;
  const double best = *std::min_element(ms.begin(), ms.end());
  return static_cast<double>(words * sizeof(uint64_t)) * threads / best * 1e3;
}

}  // namespace krait
