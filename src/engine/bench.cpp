#include "krait/bench.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <sstream>

#include <unistd.h>

#include "krait/error.h"
#include "src/base/clock.h"
#include "src/engine/roof.h"

namespace krait {
namespace {

constexpr int64_t kWarmUpPrompt = 128;
constexpr int64_t kWarmUpSteps = 16;

bool is_set(const std::atomic<bool>* flag) { return flag && flag->load(std::memory_order_relaxed); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count - 1));
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

// Sequences that step together, each from a state it is given.
class Batch {
 public:
  Batch(Engine& engine, int64_t size)
      : engine_(engine),
        floats_(engine.model().state_layout().floats_per_slot()),
        states_(engine.backend().buffer(size * floats_)),
        workspace_(
            engine.model().workspace(static_cast<int32_t>(size), static_cast<int32_t>(size))),
        logits_(static_cast<size_t>(engine.model().config().embedding_rows)),
        drawing_(engine.backend().drawing(static_cast<int32_t>(size), engine.sampled_vocab())),
        draws_(static_cast<size_t>(size)),
        drawn_(static_cast<size_t>(size)) {
    for (int32_t slot = 0; slot < size; ++slot) {
      segments_.push_back({slot, slot, 1});
      rows_.push_back(slot);
    }
  }

  void start(const Snapshot& from) {
    for (const Segment& segment : segments_)
      engine_.backend().write(from->planes, states_->data + segment.slot * floats_);
  }

  // One token of each sequence.
  void step(std::span<const int32_t> ids) {
    const Rows logits =
        engine_.model().forward({ids, segments_, rows_}, {states_->data, floats_}, *workspace_);
    // As those who sample from them do.
    if (drawing_) {
      drawing_->start(draws_, {});
      engine_.backend().draw(logits, *drawing_);
      drawing_->wait(0, drawn_);
      return;
    }
    for (int64_t row = 0; row < logits.rows; ++row)
      engine_.backend().read(logits.data + row * logits.stride, logits_);
  }

 private:
  Engine& engine_;
  int64_t floats_;
  std::unique_ptr<Buffer> states_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<float> logits_;
  std::unique_ptr<Drawing> drawing_;  // null where the device draws nothing
  std::vector<Draw> draws_;
  std::vector<int32_t> drawn_;
  std::vector<Segment> segments_;
  std::vector<int32_t> rows_;
};

// Runs tests of one engine. The session is at the depth of the test before each run.
class Bench {
 public:
  Bench(Engine& engine, const BenchOptions& options)
      : engine_(engine),
        options_(options),
        roof_(engine),
        session_(engine.session(History::discard)),
        device_draws_(engine.backend().drawing(1, engine.sampled_vocab()) != nullptr) {
    roof_.measure();
  }

  // Nothing when it was stopped before the first repetition ended.
  std::optional<BenchResult> run(const BenchTest& test) {
    if (is_set(options_.stop) || !go_to(test.depth)) return std::nullopt;
    BenchResult result;
    static_cast<BenchTest&>(result) = test;
    BenchTest warm_up = test;
    warm_up.n_prompt = std::min(test.n_prompt, kWarmUpPrompt);
    warm_up.n_gen = std::min(test.n_gen, kWarmUpSteps);
    run_once(warm_up);
    for (int32_t i = 0; i < options_.repetitions && !is_set(options_.stop); ++i) {
      const std::optional<double> ms = run_once(test);
      if (ms) result.tok_s.push_back(tokens(test) / *ms * 1e3);
    }
    if (result.tok_s.empty()) return std::nullopt;
    if (options_.profile) {
      options_.profile->clear();
      if (!run_once(test)) return std::nullopt;
      result.stages = options_.profile->stages();
    }
    add_figures(result);
    return result;
  }

 private:
  static double tokens(const BenchTest& test) {
    return static_cast<double>(test.n_prompt + test.n_gen * test.batch);
  }

  // Reads that many tokens, once for all tests at this depth.
  bool go_to(int64_t depth) {
    if (start_ && start_->position == depth) return true;
    session_->reset();
    start_.reset();
    constexpr int64_t kBlock = 1 << 16;
    for (int64_t left = depth; left > 0; left -= std::min(left, kBlock)) {
      const auto ids = test_ids(std::min(left, kBlock), engine_.sampled_vocab());
      session_->feed(ids, {}, options_.stop);
      if (is_set(options_.stop)) return false;
    }
    start_ = session_->snapshot();
    return true;
  }

  // Milliseconds; nothing when it was stopped.
  std::optional<double> run_once(const BenchTest& test) {
    const std::vector<int32_t> prompt = test_ids(test.n_prompt, engine_.sampled_vocab());
    const std::vector<int32_t> ids = test_ids(test.n_gen + test.batch - 1, engine_.sampled_vocab());
    if (test.batch > 1) return run_batch(test, ids);
    session_->restore(start_);
    const Stopwatch watch;
    session_->feed(prompt, {}, options_.stop);
    decode(ids);
    static_cast<void>(session_->logits());  // waits for them
    const double ms = watch.ms();
    if (is_set(options_.stop)) return std::nullopt;
    return ms;
  }

  // Feeds so many tokens one by one; where the device draws tokens, those, as generate() does.
  void decode(std::span<const int32_t> ids) {
    const auto fed = device_draws_ ? std::min<size_t>(ids.size(), 1) : ids.size();
    for (size_t i = 0; i < fed && !is_set(options_.stop); ++i) session_->feed({&ids[i], 1});
    if (fed == ids.size() || is_set(options_.stop)) return;
    SamplingOptions greedy;
    greedy.temperature = 0;
    session_->advance(greedy, 0, 0, static_cast<int64_t>(ids.size() - fed), [&](int32_t) {
      return is_set(options_.stop) ? Verdict::stop : Verdict::feed;
    });
  }

  std::optional<double> run_batch(const BenchTest& test, std::span<const int32_t> ids) {
    if (!batch_ || batch_size_ != test.batch) {
      batch_.reset();  // before the next one takes memory
      batch_ = std::make_unique<Batch>(engine_, test.batch);
      batch_size_ = test.batch;
    }
    batch_->start(start_);
    const Stopwatch watch;
    for (int64_t i = 0; i < test.n_gen; ++i) {
      if (is_set(options_.stop)) return std::nullopt;
      batch_->step(ids.subspan(i, test.batch));
    }
    return watch.ms();
  }

  void add_figures(BenchResult& r) {
    r.tok_s_median = median(r.tok_s);
    r.tok_s_deviation = deviation(r.tok_s);
    r.peak_rss_bytes = roof_.peak_rss();
    roof_.measure();
    const Model& model = engine_.model();
    const double runs_s = r.tok_s_median / tokens(r);
    if (r.n_prompt == 0) {
      const auto steps = static_cast<double>(r.n_gen);
      r.gb_s = runs_s * steps * static_cast<double>(model.weight_bytes_per_token()) * 1e-9;
      r.roof_gb_s = roof_.gb_s();
      r.roof_share = r.gb_s / r.roof_gb_s;
    }
    const int64_t with_logits = r.n_gen * r.batch + (r.n_prompt > 0 ? 1 : 0);
    const int64_t without = std::max<int64_t>(r.n_prompt - 1, 0);
    const int64_t multiply_adds = with_logits * model.multiply_adds_per_token(true) +
                                  without * model.multiply_adds_per_token(false);
    r.gflop_s = runs_s * 2e-9 * static_cast<double>(multiply_adds);
    r.roof_gflop_s = roof_.gflop_s();
    r.gflop_share = r.gflop_s / r.roof_gflop_s;
  }

  Engine& engine_;
  const BenchOptions& options_;
  Roof roof_;
  std::unique_ptr<Session> session_;
  bool device_draws_;  // tokens
  Snapshot start_;
  std::unique_ptr<Batch> batch_;
  int64_t batch_size_ = 0;
};

std::vector<BenchTest> tests_of(const BenchOptions& options) {
  std::vector<BenchTest> tests;
  for (const int64_t depth : options.depths) {
    for (const int64_t n : options.prompts)
      if (n != 0) tests.push_back({.n_prompt = n, .depth = depth});
    for (const int64_t batch : options.batches)
      for (const int64_t n : options.tokens)
        if (n != 0) tests.push_back({.n_gen = n, .depth = depth, .batch = batch});
    for (const auto& [prompt, gen] : options.pairs)
      tests.push_back({.n_prompt = prompt, .n_gen = gen, .depth = depth});
  }
  for (const BenchTest& test : tests)
    if (test.n_prompt < 0 || test.n_gen < 0 || test.n_prompt + test.n_gen < 1 || test.depth < 0 ||
        test.batch < 1 || test.batch > kMostBenchBatch)
      throw InputError("test " + test_name(test) +
                       ": expected counts of 0 or more, and batches of " + "1 to " +
                       std::to_string(kMostBenchBatch));
  return tests;
}

// When this process was started, in milliseconds before now.
double process_age_ms() {
  std::ifstream stat("/proc/self/stat");
  std::string text;
  std::getline(stat, text);
  // The program's name, in parentheses, may hold anything; the start is the 20th word after it.
  std::istringstream words(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string word;
  for (int i = 0; i < 20; ++i) words >> word;
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const double start =
      std::strtod(word.c_str(), nullptr) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return 1e3 * (static_cast<double>(now.tv_sec) - start) + 1e-6 * static_cast<double>(now.tv_nsec);
}

}  // namespace

std::string test_name(const BenchTest& test) {
  std::string name;
  if (test.n_prompt != 0) name = "pp" + std::to_string(test.n_prompt);
  if (test.n_gen != 0) name += (name.empty() ? "tg" : "+tg") + std::to_string(test.n_gen);
  if (test.batch != 1) name += " x" + std::to_string(test.batch);
  if (test.depth != 0) name += " @ d" + std::to_string(test.depth);
  return name;
}

std::vector<BenchResult> bench(Engine& engine, const BenchOptions& options,
                               const std::function<void(const BenchResult&)>& on_result) {
  if (options.repetitions < 1)
    throw InputError("--repetitions " + std::to_string(options.repetitions) +
                     ": expected 1 or more");
  const std::vector<BenchTest> tests = tests_of(options);
  Bench bench(engine, options);
  std::vector<BenchResult> results;
  for (const BenchTest& test : tests) {
    const std::optional<BenchResult> result = bench.run(test);
    if (!result) continue;
    results.push_back(*result);
    if (on_result) on_result(*result);
  }
  return results;
}

Startup measure_startup(Engine& engine) {
  constexpr int64_t kPrompt = 8;
  const std::vector<int32_t> ids = test_ids(kPrompt, engine.sampled_vocab());
  Startup startup{.load_ms = engine.load_ms(), .n_prompt = kPrompt};
  const Stopwatch watch;
  const std::unique_ptr<Session> session = engine.session();
  session->feed(ids);
  const auto logits = session->logits().first(static_cast<size_t>(engine.sampled_vocab()));
  volatile auto token = std::max_element(logits.begin(), logits.end()) - logits.begin();
  static_cast<void>(token);
  startup.first_token_ms = watch.ms();
  startup.process_ms = process_age_ms();
  return startup;
}

}  // namespace krait
