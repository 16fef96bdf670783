// Speed of prefill and decode, and the read bandwidth of memory to hold it against.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/engine/clock.h"

namespace krait {
namespace {

bool is_set(const std::atomic<bool>* flag) { return flag && flag->load(std::memory_order_relaxed); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Ids that differ from one another, so that no embedding row stays in the cache by accident.
std::vector<int32_t> test_ids(int64_t count, int32_t vocabulary) {
  std::vector<int32_t> ids(count);
  uint32_t state = 1;
  for (int32_t& id : ids) {
    state = state * 1664525u + 1013904223u;
    id = static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(vocabulary));
  }
  return ids;
}

// Tokens per second of one run.
double run_once(Session& session, std::span<const int32_t> ids, bool one_by_one) {
  session.reset();
  const Stopwatch watch;
  if (one_by_one) {
    for (const int32_t id : ids) session.feed({&id, 1});
  } else {
    session.feed(ids);
  }
  return static_cast<double>(ids.size()) / watch.ms() * 1e3;
}

// The roof, measured again around every test: other work on the machine lowers single figures.
class Roof {
 public:
  explicit Roof(int32_t threads) : threads_(threads) {}
  void measure() {
    peak_rss_ = peak_rss();
    best_gb_s_ = std::max(best_gb_s_, measure_read_bandwidth(threads_));
    // Start the system's count of peak memory anew; where that is refused, the figure includes
    // ours.
    std::ofstream("/proc/self/clear_refs") << "5";
  }
  double gb_s() const noexcept { return best_gb_s_; }
  int64_t peak_rss() const { return std::max(peak_rss_, peak_rss_bytes()); }

 private:
  int32_t threads_;
  double best_gb_s_ = 0;
  int64_t peak_rss_ = 0;
};

BenchResult run_test(Engine& engine, Session& session, const BenchOptions& options, Roof& roof,
                     int64_t count, bool one_by_one) {
  BenchResult result;
  (one_by_one ? result.n_gen : result.n_prompt) = count;
  const std::vector<int32_t> ids = test_ids(count, engine.sampled_vocab());
  // Warm-up: memory is touched, threads run.
  const auto warm_up = std::min<size_t>(ids.size(), one_by_one ? 16 : 128);
  run_once(session, std::span(ids).first(warm_up), one_by_one);
  for (int32_t i = 0; i < options.repetitions && !is_set(options.stop); ++i)
    result.tok_s.push_back(run_once(session, ids, one_by_one));
  if (result.tok_s.empty()) return result;
  result.tok_s_median = median(result.tok_s);
  result.peak_rss_bytes = roof.peak_rss();
  roof.measure();
  result.roof_gb_s = roof.gb_s();
  if (one_by_one) {
    const auto bytes = static_cast<double>(engine.model().weight_bytes_per_token());
    result.gb_s = result.tok_s_median * bytes * 1e-9;
    result.roof_share = result.gb_s / result.roof_gb_s;
  }
  return result;
}

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
  std::vector<std::thread> workers;
  std::vector<uint64_t> totals(threads);
  std::atomic<int> arrived{0};
  std::array<double, kPasses> ms{};
  // Every pass starts together and ends with the slowest thread.
  const auto barrier = [&](int pass) {
    arrived.fetch_add(1);
    while (arrived.load() < pass * threads) std::this_thread::yield();
  };
  const auto work = [&](int thread) {
    const std::vector<uint64_t> memory(words, static_cast<uint64_t>(thread));
    for (int pass = 0; pass < kPasses; ++pass) {
      barrier(2 * pass + 1);
      const Stopwatch watch;
      totals[thread] += read_all(memory.data(), words);
      barrier(2 * pass + 2);
      if (thread == 0) ms[pass] = watch.ms();
    }
  };
  for (int thread = 1; thread < threads; ++thread) workers.emplace_back(work, thread);
  work(0);
  for (std::thread& worker : workers) worker.join();
  volatile uint64_t keep = 0;  // the sums must not be optimised away
  for (const uint64_t total : totals) keep = keep + total;
  const double best = *std::min_element(ms.begin(), ms.end());
  return static_cast<double>(words * sizeof(uint64_t)) * threads / best * 1e-6;
}

int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) * 1024;
  return 0;
}

std::vector<BenchResult> bench(Engine& engine, const BenchOptions& options,
                               const std::function<void(const BenchResult&)>& on_result) {
  if (options.repetitions < 1)
    throw InputError("--repetitions " + std::to_string(options.repetitions) +
                     ": expected 1 or more");
  Roof roof(engine.backend().info().threads);
  roof.measure();
  const std::unique_ptr<Session> session = engine.session();
  std::vector<BenchResult> results;
  const auto run_all = [&](const std::vector<int64_t>& counts, bool one_by_one) {
    for (const int64_t count : counts) {
      if (count == 0 || is_set(options.stop)) continue;
      if (count < 0) throw InputError("a test of " + std::to_string(count) + " tokens");
      const BenchResult result = run_test(engine, *session, options, roof, count, one_by_one);
      if (result.tok_s.empty()) continue;
      results.push_back(result);
      if (on_result) on_result(result);
    }
  };
  run_all(options.prompts, false);
  run_all(options.tokens, true);
  return results;
}

}  // namespace krait
