// Tokens drawn on a device, against the sampler of the host.
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "krait/sampler.h"
#include "tests/backend/support.h"

namespace krait {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

class DrawingTest : public testing::TestWithParam<test::Device> {
 protected:
  const test::Device& device() const { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Devices, DrawingTest, testing::ValuesIn(test::devices()),
                         [](const auto& p) { return p.param.name; });

struct Case {
  SamplingOptions options;
  Draw draw;
};
Case random_case(std::mt19937_64& random, int32_t vocab) {
  const auto real = [&](float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(random);
  };
  Case c;
  SamplingOptions& o = c.options;
  o.temperature = random() % 6 == 0 ? 0.0f : std::exp(real(-2, 1));
  o.top_k = static_cast<int32_t>(
      1 + random() % static_cast<uint64_t>(std::min(vocab - 1, Drawing::kMostTopK)));
  o.top_p = random() % 3 == 0 ? 1.0f : real(0.1f, 1);
  o.min_p = random() % 3 == 0 ? 0.0f : real(0, 0.3f);
  const bool greedy = o.temperature == 0 || o.top_k == 1;
  c.draw = {random(),
            random(),
            random(),
            greedy ? 1.0f : o.temperature,
            o.top_p,
            o.min_p,
            greedy ? 1 : o.top_k};
  return c;
}

std::vector<float> random_logits(std::mt19937_64& random, int64_t count) {
  std::normal_distribution<float> normal;
  const bool ties = random() % 3 == 0, holes = random() % 3 == 0;
  const float scale = std::exp(normal(random));
  std::vector<float> logits(static_cast<size_t>(count));
  for (float& x : logits) {
    x = normal(random) * scale;
    if (ties) x = std::round(4 * x) / 4;
    if (holes && random() % 4 == 0) x = -kInf;
  }
  return logits;
}

// Rows of several sequences, with options of their own, drawn again and again.
TEST_P(DrawingTest, ChoosesWhatTheHostChooses) {
  const auto backend = device()(2);
  std::mt19937_64 random(5);
  std::vector<int32_t> vocabularies = {3, 61, 700};
  if (!device().emulated) vocabularies.insert(vocabularies.end(), {50280, 65024, 262144});
  for (const int32_t vocab : vocabularies) {
    constexpr int64_t kRows = 5, kPadding = 3;
    const int64_t cols = vocab + kPadding;
    const auto buffer = backend->buffer(kRows * cols);
    const auto drawing = backend->drawing(kRows, vocab);
    ASSERT_TRUE(drawing);
    for (int round = 0; round < (device().emulated ? 4 : 40); ++round) {
      std::vector<float> logits = random_logits(random, kRows * cols);
      for (int64_t r = 0; r < kRows; ++r)  // behind the vocabulary
        std::fill_n(logits.begin() + r * cols + vocab, kPadding, kInf);
      backend->write(logits, buffer->data);
      const int64_t rows = 1 + static_cast<int64_t>(random() % kRows);
      std::vector<Case> cases;
      std::vector<Draw> draws;
      for (int64_t r = 0; r < rows; ++r) {
        cases.push_back(random_case(random, vocab));
        draws.push_back(cases.back().draw);
      }
      drawing->start(draws, {});
      constexpr int64_t kDraws = 3;
      for (int64_t n = 0; n < kDraws; ++n)
        backend->draw({buffer->data, rows, cols, cols}, *drawing);
      std::vector<int32_t> ids(static_cast<size_t>(rows));
      for (int64_t n = 0; n < kDraws; ++n) {
        drawing->wait(n, ids);
        for (int64_t r = 0; r < rows; ++r) {
          const Draw& d = draws[static_cast<size_t>(r)];
          Sampler host(cases[static_cast<size_t>(r)].options, vocab, d.seed, d.sequence);
          const std::span row = std::span(logits).subspan(static_cast<size_t>(r * cols));
          ASSERT_EQ(ids[static_cast<size_t>(r)], host.sample(row.first(static_cast<size_t>(vocab)),
                                                             d.position + static_cast<uint64_t>(n)))
              << "vocabulary " << vocab << ", round " << round << ", row " << r << ", draw " << n;
        }
      }
    }
  }
}

// More draws than the ring holds, and new starts before all have been waited for.
TEST_P(DrawingTest, KeepsDrawsApart) {
  const auto backend = device()(2);
  std::mt19937_64 random(6);
  constexpr int32_t kVocab = 50;
  const std::vector<float> logits(kVocab, 1.0f);
  const auto buffer = backend->buffer(kVocab);
  backend->write(logits, buffer->data);
  const auto drawing = backend->drawing(1, kVocab);
  SamplingOptions options;
  options.top_p = 1;
  options.min_p = 0;
  for (int start = 0; start < 6; ++start) {
    Draw draw{random(), random(), random(), options.temperature, 1, 0, options.top_k};
    drawing->start({&draw, 1}, {});
    Sampler host(options, kVocab, draw.seed, draw.sequence);
    const int64_t count = start % 2 ? 100 : 13, ahead = start % 2 ? Drawing::kMostAhead : 5;
    int64_t issued = 0;
    for (int64_t n = 0; n < count; ++n) {
      while (issued < n + ahead) {
        backend->draw({buffer->data, 1, kVocab, kVocab}, *drawing);
        ++issued;
      }
      int32_t id = -1;
      drawing->wait(n, {&id, 1});
      ASSERT_EQ(id, host.sample(logits, draw.position + static_cast<uint64_t>(n))) << n;
    }
  }
}

TEST_P(DrawingTest, LogitsThatCannotBeSampled) {
  const auto backend = device()(2);
  constexpr int32_t kVocab = 300;
  const auto buffer = backend->buffer(kVocab);
  const auto drawing = backend->drawing(1, kVocab);
  for (const int32_t top_k : {1, 40})
    for (const float value : {-kInf, kInf, std::nanf("")}) {
      std::vector<float> logits(kVocab, value == -kInf ? value : 0.0f);
      logits[77] = value;
      backend->write(logits, buffer->data);
      Draw draw;
      draw.top_k = top_k;
      drawing->start({&draw, 1}, {});
      backend->draw({buffer->data, 1, kVocab, kVocab}, *drawing);
      int32_t id = 0;
      drawing->wait(0, {&id, 1});
      EXPECT_LT(id, 0);
    }
}

}  // namespace
}  // namespace krait
