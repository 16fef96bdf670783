// What `bench` measures: which tests, in which order, and how its figures hang together.
#include "krait/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BenchTestFixture : public testing::Test {
 protected:
  std::unique_ptr<Engine> open() {
    RandomCheckpoint checkpoint;
    checkpoint.d_model = 40;
    checkpoint.vocab_rows = 320;
    checkpoint.vocab_size = 300;
    write_random_checkpoint(folder_.path("model"), checkpoint);
    OpenOptions options;
    options.model = folder_.path("model");
    options.backend = {"cpu", "auto", 2};
    return Engine::open(options);
  }

  static BenchOptions nothing() {
    BenchOptions options;
    options.prompts = options.tokens = {};
    options.repetitions = 2;
    return options;
  }

  test::TempFolder folder_;
};

using Bench = BenchTestFixture;

TEST_F(Bench, MeasuresWhatItWasAsked) {
  const auto engine = open();
  BenchOptions options = nothing();
  options.prompts = {0, 32};
  options.tokens = {8};
  options.batches = {1, 3};
  options.depths = {0, 70};
  options.pairs = {{5, 4}};
  std::vector<std::string> names;
  const auto results =
      bench(*engine, options, [&](const BenchResult& r) { names.push_back(test_name(r)); });
  EXPECT_THAT(names, ElementsAre("pp32", "tg8", "tg8 x3", "pp5+tg4", "pp32 @ d70", "tg8 @ d70",
                                 "tg8 x3 @ d70", "pp5+tg4 @ d70"));
  ASSERT_EQ(results.size(), names.size());
  for (const BenchResult& r : results) {
    EXPECT_EQ(r.tok_s.size(), 2u);
    EXPECT_GT(r.peak_rss_bytes, 1 << 20);
    EXPECT_GT(r.gflop_s, 0);
    EXPECT_NEAR(r.gflop_share, r.gflop_s / r.roof_gflop_s, 1e-12);
    EXPECT_EQ(r.gb_s > 0, r.n_prompt == 0) << "a prefill reads weights once a block";
    EXPECT_NEAR(r.roof_share * r.roof_gb_s, r.gb_s, 1e-12);
  }
}

TEST_F(Bench, FiguresFollowFromTheSpeedAndTheShapeOfTheModel) {
  const auto engine = open();
  const Model& model = engine->model();
  BenchOptions options = nothing();
  options.prompts = {10};
  options.tokens = {6};
  options.batches = {4};
  const auto results = bench(*engine, options, {});
  ASSERT_EQ(results.size(), 2u);
  const auto head = static_cast<double>(model.multiply_adds_per_token(true) -
                                        model.multiply_adds_per_token(false));
  const auto layers = static_cast<double>(model.multiply_adds_per_token(false));
  EXPECT_EQ(head, 320.0 * 40.0);
  // The head once a prompt, and for every decoded token.
  EXPECT_NEAR(results[0].gflop_s, results[0].tok_s_median * 2e-9 * (layers + head / 10), 1e-12);
  EXPECT_NEAR(results[1].gflop_s, results[1].tok_s_median * 2e-9 * (layers + head), 1e-12);
  // The weights once a step for all four.
  EXPECT_NEAR(
      results[1].gb_s,
      results[1].tok_s_median / 4 * 1e-9 * static_cast<double>(model.weight_bytes_per_token()),
      1e-12);
}

TEST_F(Bench, MultiplyAddsAreThoseOfTheMatrices) {
  const auto engine = open();
  int64_t sum = 0;
  for (const LayerConfig& layer : engine->model().config().layers) {
    const auto& c = std::get<Mamba1Config>(layer);
    sum += 40 * 2 * c.d_inner + c.d_inner * (c.dt_rank + 2 * c.d_state) + c.dt_rank * c.d_inner +
           c.d_inner * 40;
  }
  EXPECT_EQ(engine->model().multiply_adds_per_token(false), sum);
}

TEST_F(Bench, StopsBetweenTestsWithWhatItHas) {
  const auto engine = open();
  std::atomic<bool> stop = false;
  BenchOptions options = nothing();
  options.prompts = {8, 16, 24};
  options.stop = &stop;
  const auto results = bench(*engine, options, [&](const BenchResult&) { stop = true; });
  EXPECT_EQ(results.size(), 1u);
}

TEST_F(Bench, RefusesWhatCannotBeMeasured) {
  const auto engine = open();
  const auto refused = [&](auto change, const char* words) {
    BenchOptions options = nothing();
    options.tokens = {4};
    change(options);
    EXPECT_THAT(test::message_of<InputError>([&] { bench(*engine, options, {}); }),
                HasSubstr(words));
  };
  refused([](BenchOptions& o) { o.repetitions = 0; }, "--repetitions 0");
  refused([](BenchOptions& o) { o.batches = {0}; }, "test tg4 x0: expected");
  refused([](BenchOptions& o) { o.batches = {1025}; }, "batches of 1 to 1024");
  refused([](BenchOptions& o) { o.depths = {-1}; }, "test tg4 @ d-1: expected");
  refused([](BenchOptions& o) { o.tokens = {-4}; }, "test tg-4");
}

TEST_F(Bench, StartupTellsLoadFirstTokenAndAge) {
  const auto engine = open();
  const Startup startup = measure_startup(*engine);
  EXPECT_GT(startup.first_token_ms, 0);
  EXPECT_EQ(startup.load_ms, engine->load_ms());
  // The clock of processes goes in steps of 10 ms.
  EXPECT_GT(startup.process_ms + 10, startup.load_ms + startup.first_token_ms);
  EXPECT_LT(startup.process_ms, 600e3);
}

}  // namespace
}  // namespace krait
