// Speed of prefill and decode, held against what the machine can do: the read bandwidth of memory
// and the arithmetic of its processor, both measured in the same run. Nobody else uses the engine
// meanwhile.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "krait/engine.h"

namespace krait {

// Every list is measured in full: prefill at each depth, decode at each depth and batch.
struct BenchOptions {
  std::vector<int64_t> prompts = {512};            // prefill lengths; 0 skips
  std::vector<int64_t> tokens = {128};             // decode lengths; 0 skips
  std::vector<std::pair<int64_t, int64_t>> pairs;  // a prompt, then decode: one test
  std::vector<int64_t> depths = {0};               // tokens read before the measurement
  std::vector<int64_t> batches = {1};              // sequences that decode together
  int32_t repetitions = 5;
  Profile* profile = nullptr;  // that of the engine's backend: fills in the results' stages
  const std::atomic<bool>* stop = nullptr;
};

inline constexpr int64_t kMostBenchBatch = 1024;

struct BenchTest {
  int64_t n_prompt = 0;
  int64_t n_gen = 0;
  int64_t depth = 0;
  int64_t batch = 1;
};

// "pp512", "tg128", "pp512+tg128", with " @ d1024" for a depth and " x16" for a batch.
std::string test_name(const BenchTest& test);

struct BenchResult : BenchTest {
  std::vector<double> tok_s;  // of all sequences together, one per repetition; at least one
  double tok_s_median = 0;
  double tok_s_deviation = 0;  // standard deviation; 0 for one repetition
  // Decode only, at the median: weight bytes read per second (once a step, whatever the batch),
  // the read bandwidth of memory (best measured so far in this run), and the share of it.
  double gb_s = 0;
  double roof_gb_s = 0;
  double roof_share = 0;
  // Of every test, at the median: the arithmetic of the weight matrices, two operations for each
  // weight and token (the head's only where logits are computed: once a prompt), what the machine
  // reaches in the same arithmetic with operands in registers, and the share.
  double gflop_s = 0;
  double roof_gflop_s = 0;
  double gflop_share = 0;
  int64_t peak_rss_bytes = 0;  // of the process so far, without what measuring the roofs took
  std::vector<Profile::Stage> stages;  // of one more run, where there is a profile
};

// Throws InputError for options out of range.
std::vector<BenchResult> bench(Engine& engine, const BenchOptions& options,
                               const std::function<void(const BenchResult&)>& on_result);

struct Startup {
  double load_ms = 0;         // opening the model
  int64_t n_prompt = 0;       // tokens of the prompt
  double first_token_ms = 0;  // from an open model to the first token after the prompt
  double process_ms = 0;      // since the process was started; the system counts in steps of 10 ms
};

// How long it takes until there is a token. Honest only before anything else was computed.
Startup measure_startup(Engine& engine);

// Most memory the process ever had resident; 0 where the system does not tell.
int64_t peak_rss_bytes();

}  // namespace krait
