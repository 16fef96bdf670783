#include "krait/sampler.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/sampling/slow_sampler.h"

namespace krait {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Temperature 1 and every filter off.
SamplingOptions plain() {
  SamplingOptions o;
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

SamplingOptions greedy() {
  SamplingOptions o = plain();
  o.temperature = 0;
  return o;
}

TEST(Sampler, GreedyIsTheHighestLogitAndTiesGoToTheLowestId) {
  Sampler sampler(greedy(), 5, 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 5, 3, 5, 5}, 0), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-1, -5, -3, -0.5f, -5}, 1), 3);
}

TEST(Sampler, GreedyEqualsTopOne) {
  SamplingOptions one = plain();
  one.top_k = 1;
  for (uint64_t i = 0; i < 1000; ++i) {
    const std::vector<float> logits = random_logits(i, 50);
    EXPECT_EQ(Sampler(one, 50, i).sample(logits, i), Sampler(greedy(), 50, i).sample(logits, i));
  }
}

TEST(Sampler, TopKKeepsTheLowestIdsOfEqualLogits) {
  SamplingOptions o = plain();
  o.top_k = 3;
  const std::vector<float> logits = {0, 1, 1, 1, 1, 0};
  std::vector<int> seen(6);
  for (uint64_t i = 0; i < 300; ++i)
    ++seen[static_cast<size_t>(Sampler(o, 6, 9).sample(logits, i))];
  EXPECT_THAT(
      seen, ::testing::ElementsAre(0, ::testing::Gt(0), ::testing::Gt(0), ::testing::Gt(0), 0, 0));
}

// Every filter alone and all together against the slow sampler of slow_sampler.h.
TEST(Sampler, EveryFilterEqualsTheSlowReference) {
  int cases = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    for (const SamplingOptions& o : filter_cases(seed)) {
      const int32_t vocab = static_cast<int32_t>(3 + seed * 7 % 300);
      const std::vector<float> logits = random_logits(seed, vocab + 5);
      Sampler sampler(o, vocab, seed, 3);
      std::vector<int32_t> history;
      for (uint64_t position = 0; position < 10; ++position, ++cases) {
        const int32_t want = slow_sample(o, vocab, logits, history, seed, 3, position);
        ASSERT_EQ(sampler.sample(logits, position), want) << "seed " << seed;
        sampler.accept(want);
        history.push_back(want);
      }
    }
  }
  EXPECT_GE(cases, 30'000);
}

TEST(Sampler, FrequenciesFollowTheProbabilities) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f, 0.5f};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    SamplingOptions o = plain();
    o.temperature = temperature;
    Sampler sampler(o, 5, 2024);
    constexpr int kDraws = 50'000;
    std::vector<int> seen(5);
    for (uint64_t i = 0; i < kDraws; ++i) ++seen[static_cast<size_t>(sampler.sample(logits, i))];
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit / temperature);
    double chi_square = 0;
    for (size_t i = 0; i < 5; ++i) {
      const double expected = kDraws * std::exp(logits[i] / temperature) / sum;
      chi_square += (seen[i] - expected) * (seen[i] - expected) / expected;
    }
    EXPECT_LT(chi_square, 18.5) << temperature;  // 4 degrees of freedom, p = 0.001
  }
}

TEST(Sampler, NeverChoosesPaddingRows) {
  std::vector<float> logits(20, 0.0f);
  for (size_t i = 10; i < 20; ++i) logits[i] = 100.0f;
  logits[19] = kNan;
  Sampler drawing(plain(), 10, 5);
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_LT(drawing.sample(logits, i), 10);
  EXPECT_EQ(Sampler(greedy(), 10, 5).sample(logits, 0), 0);
}

TEST(Sampler, UnusableLogitsAreFailures) {
  Sampler sampler(plain(), 3, 1);
  EXPECT_THROW(sampler.sample(std::vector<float>{0, kNan, 0}, 0), Failure);
  EXPECT_THROW(sampler.sample(std::vector<float>{0, kInf, 0}, 0), Failure);
  EXPECT_THROW(sampler.sample(std::vector<float>{-kInf, -kInf, -kInf}, 0), Failure);
  EXPECT_THROW(Sampler(greedy(), 3, 1).sample(std::vector<float>{-kInf, kNan, 1}, 0), Failure);
  EXPECT_EQ(sampler.sample(std::vector<float>{-kInf, 0, -kInf}, 0), 1);
}

TEST(Sampler, TheDrawDoesNotDependOnWhatWasSampledBefore) {
  const std::vector<float> logits = random_logits(11, 100);
  Sampler used(plain(), 100, 77, 4);
  for (uint64_t i = 0; i < 50; ++i) {
    used.sample(random_logits(i, 100), i * 3);
    used.accept(static_cast<int32_t>(i));
  }
  for (uint64_t position = 0; position < 200; ++position)
    EXPECT_EQ(used.sample(logits, position), Sampler(plain(), 100, 77, 4).sample(logits, position));
}

TEST(Sampler, SeedAndSequenceChangeTheDraws) {
  const std::vector<float> logits(1000, 0.0f);
  int same_seed = 0;
  int same_sequence = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    const int32_t base = Sampler(plain(), 1000, 1, 1).sample(logits, i);
    same_seed += base == Sampler(plain(), 1000, 2, 1).sample(logits, i);
    same_sequence += base == Sampler(plain(), 1000, 1, 2).sample(logits, i);
  }
  EXPECT_LT(same_seed, 5);
  EXPECT_LT(same_sequence, 5);
}

TEST(Sampler, BiasMovesAndBansIds) {
  SamplingOptions o = greedy();
  o.logit_bias = {{2, 10.0f}, {0, -kInf}};
  EXPECT_EQ(Sampler(o, 3, 1).sample(std::vector<float>{9, 5, 0}, 0), 2);
  o.logit_bias = {{0, -kInf}};
  EXPECT_EQ(Sampler(o, 3, 1).sample(std::vector<float>{9, 5, 0}, 0), 1);
  o.logit_bias = {{0, -kInf}, {1, -kInf}, {2, -kInf}};
  EXPECT_THROW(Sampler(o, 3, 1).sample(std::vector<float>{9, 5, 0}, 0), Failure);
}

TEST(Sampler, BiasOnAnIdOutsideTheVocabularyIsRefused) {
  SamplingOptions o;
  o.logit_bias = {{3, 1.0f}};
  EXPECT_THROW(Sampler(o, 3, 1), InputError);
}

TEST(Sampler, PenaltiesForgetWhatLeavesTheWindow) {
  SamplingOptions o = greedy();
  o.presence_penalty = 5;
  o.penalty_last_n = 2;
  Sampler sampler(o, 3, 1);
  const std::vector<float> logits = {2, 1, 0};
  EXPECT_EQ(sampler.sample(logits, 0), 0);
  sampler.accept(0);
  EXPECT_EQ(sampler.sample(logits, 1), 1);
  sampler.accept(1);
  EXPECT_EQ(sampler.sample(logits, 2), 2);
  sampler.accept(2);  // 0 leaves
  EXPECT_EQ(sampler.sample(logits, 3), 0);
  sampler.accept(1);  // 1 leaves and enters
  EXPECT_EQ(sampler.sample(logits, 4), 0);
}

TEST(Sampler, UnlimitedWindowRemembersEverything) {
  SamplingOptions o = greedy();
  o.frequency_penalty = 0.001f;
  o.penalty_last_n = -1;
  Sampler sampler(o, 3, 1);
  sampler.accept(7);  // a padding row counts for nothing
  for (int i = 0; i < 2000; ++i) sampler.accept(0);
  EXPECT_EQ(sampler.sample(std::vector<float>{1.9f, 0, -1}, 0), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{2.1f, 0, -1}, 0), 0);
}

TEST(Sampler, RepeatPenaltyLowersNegativeLogitsToo) {
  SamplingOptions o = greedy();
  o.repeat_penalty = 2;
  Sampler sampler(o, 2, 1);
  sampler.accept(0);
  EXPECT_EQ(sampler.sample(std::vector<float>{-1, -1.5f}, 0), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{3, 2}, 0), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{5, 2}, 0), 0);
}

struct Refused {
  const char* message;
  void (*set)(SamplingOptions&);
};

TEST(Validate, NamesTheFlagTheValueAndTheRange) {
  const std::vector<Refused> cases = {
      {"--temp -1: expected 0 (greedy) or a positive number", [](auto& o) { o.temperature = -1; }},
      {"--temp nan: expected", [](auto& o) { o.temperature = kNan; }},
      {"--temp inf: expected", [](auto& o) { o.temperature = kInf; }},
      {"--top-k -1: expected 0 (off)", [](auto& o) { o.top_k = -1; }},
      {"--top-p 1.5: expected a number in (0, 1]", [](auto& o) { o.top_p = 1.5f; }},
      {"--top-p 0: expected a number in (0, 1]", [](auto& o) { o.top_p = 0; }},
      {"--min-p 1.1: expected a number in [0, 1]", [](auto& o) { o.min_p = 1.1f; }},
      {"--min-p nan: expected", [](auto& o) { o.min_p = kNan; }},
      {"--typical 0: expected a number in (0, 1]", [](auto& o) { o.typical_p = 0; }},
      {"--repeat-penalty 0: expected a positive", [](auto& o) { o.repeat_penalty = 0; }},
      {"--presence-penalty inf: expected", [](auto& o) { o.presence_penalty = kInf; }},
      {"--frequency-penalty nan: expected", [](auto& o) { o.frequency_penalty = kNan; }},
      {"--repeat-last-n -2: expected -1", [](auto& o) { o.penalty_last_n = -2; }},
      {"--logit-bias -1=2: expected an id",
       [](auto& o) {
         o.logit_bias = {{-1, 2.0f}};
       }},
      {"--logit-bias 1=inf: expected an id",
       [](auto& o) {
         o.logit_bias = {{1, kInf}};
       }},
  };
  for (const Refused& c : cases) {
    SamplingOptions o;
    c.set(o);
    try {
      validate(o);
      ADD_FAILURE() << "accepted: " << c.message;
    } catch (const InputError& e) {
      EXPECT_THAT(e.what(), ::testing::StartsWith(c.message));
    }
    EXPECT_THROW(Sampler(o, 10, 1), InputError);
  }
  validate(SamplingOptions{});
}

TEST(Sampler, LogitBiasesAreLimited) {
  SamplingOptions options;
  options.logit_bias.assign(size_t{1} << 20, {1, 0.5f});
  EXPECT_NO_THROW(validate(options));
  options.logit_bias.emplace_back(1, 0.5f);
  EXPECT_THROW(validate(options), InputError);
}

}  // namespace
}  // namespace krait
