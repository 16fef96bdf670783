// The recall tasks as `krait demo` draws them, and a trained model that does them.
#include "krait/demo.h"

#include <algorithm>
#include <array>
#include <set>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using testing::HasSubstr;

std::vector<int32_t> ids_of(const RecallSequence& sequence) {
  std::vector<int32_t> ids(static_cast<size_t>(sequence.length()));
  sequence.read(0, ids);
  return ids;
}

TEST(RecallSequence, InductionHasOneSpecialIdBeforeTheAnswerAndOneAtTheEnd) {
  for (const int64_t length : {64, 65, 100, 1000})
    for (uint64_t number = 0; number < 300; ++number) {
      const RecallSequence sequence(RecallTask::induction, length, 7, number);
      const std::vector<int32_t> ids = ids_of(sequence);
      ASSERT_EQ(std::count(ids.begin(), ids.end(), 15), 2);
      ASSERT_EQ(ids.back(), 15);
      const auto place = std::find(ids.begin(), ids.end(), 15) - ids.begin();
      ASSERT_LE(place, length - 3) << "the answer is an id of its own";
      ASSERT_EQ(sequence.answers().size(), 1u);
      ASSERT_EQ(sequence.answers()[0], ids[place + 1]);
      ASSERT_TRUE(
          std::all_of(ids.begin(), ids.end(), [](int32_t id) { return id >= 0 && id < 16; }));
    }
}

TEST(RecallSequence, CopyingHasSixteenDataIdsInNoiseAndThenMarkers) {
  for (const int64_t length : {64, 65, 100, 1000})
    for (uint64_t number = 0; number < 300; ++number) {
      const RecallSequence sequence(RecallTask::copying, length, 7, number);
      const std::vector<int32_t> ids = ids_of(sequence);
      ASSERT_EQ(std::vector<int32_t>(ids.end() - 16, ids.end()), std::vector<int32_t>(16, 17));
      std::vector<int32_t> data;
      for (int64_t i = 0; i < length - 16; ++i)
        if (ids[i] != 16) data.push_back(ids[i]);
      ASSERT_EQ(data, std::vector<int32_t>(sequence.answers().begin(), sequence.answers().end()));
      ASSERT_EQ(data.size(), 16u);
      ASSERT_TRUE(
          std::all_of(data.begin(), data.end(), [](int32_t id) { return id >= 0 && id < 16; }));
    }
}

// Of 3,000 sequences of 66 tokens: each id, each answer and each place about as often as the
// others.
TEST(RecallSequence, IdsAnswersAndPlacesAreUniform) {
  constexpr int64_t kLength = 66;
  constexpr double kDraws = 3000;
  std::array<double, 16> ids{}, answers{}, copied{};
  std::array<double, kLength> special{}, data{};
  for (uint64_t number = 0; number < 3000; ++number) {
    const RecallSequence induction(RecallTask::induction, kLength, 3, number),
        copying(RecallTask::copying, kLength, 3, number);
    const std::vector<int32_t> a = ids_of(induction), b = ids_of(copying);
    for (const int32_t id : a) ++ids[id];
    ++answers[induction.answers()[0]];
    ++special[std::find(a.begin(), a.end(), 15) - a.begin()];
    for (const int32_t id : copying.answers()) ++copied[id];
    for (int64_t i = 0; i < kLength - 16; ++i) data[i] += b[i] != 16;
  }
  // Five standard deviations of a count with this mean.
  const auto expect_near = [](double found, double mean) {
    EXPECT_NEAR(found, mean, 5 * std::sqrt(mean));
  };
  for (int32_t id = 0; id < 15; ++id) {
    expect_near(ids[id], kDraws * (kLength - 2) / 15);
    expect_near(answers[id], kDraws / 15);
  }
  for (const double count : copied) expect_near(count, kDraws);
  for (int64_t place = 0; place < kLength - 2; ++place) expect_near(special[place], kDraws / 64);
  for (int64_t place = 0; place < kLength - 16; ++place) expect_near(data[place], kDraws * 16 / 50);
}

TEST(RecallSequence, AnyPieceIsThatOfTheWhole) {
  for (const RecallTask task : {RecallTask::induction, RecallTask::copying}) {
    const RecallSequence sequence(task, 333, 5, 8);
    const std::vector<int32_t> whole = ids_of(sequence);
    for (const int64_t piece : {1, 7, 64, 332}) {
      std::vector<int32_t> pieces;
      for (int64_t at = 0; at < 333; at += piece) {
        std::vector<int32_t> part(static_cast<size_t>(std::min(piece, 333 - at)));
        sequence.read(at, part);
        pieces.insert(pieces.end(), part.begin(), part.end());
      }
      EXPECT_EQ(pieces, whole) << to_string(task) << " in pieces of " << piece;
    }
  }
}

TEST(RecallSequence, SeedNumberLengthAndNothingElseMakeIt) {
  for (const RecallTask task : {RecallTask::induction, RecallTask::copying}) {
    const std::vector<int32_t> ids = ids_of({task, 200, 1, 2});
    EXPECT_EQ(ids_of({task, 200, 1, 2}), ids);
    EXPECT_NE(ids_of({task, 200, 2, 2}), ids);
    EXPECT_NE(ids_of({task, 200, 1, 3}), ids);
    std::vector<int32_t> longer = ids_of({task, 201, 1, 2});
    longer.resize(100);
    EXPECT_NE(longer, std::vector<int32_t>(ids.begin(), ids.begin() + 100));
  }
}

class RecallModel : public testing::Test {
 protected:
  RecallModel() {
    OpenOptions options;
    options.model = "induction";
    options.backend.device = "cpu";
    engine_ = Engine::open(options);
  }
  std::unique_ptr<Engine> engine_;
};

TEST_F(RecallModel, AnswersAllSequencesHoweverManyAreReadSideBySide) {
  for (const int64_t sequences : {1, 5, 16, 37}) {
    int64_t told = 0;
    const auto result = measure_recall(*engine_, {.length = 300, .sequences = sequences},
                                       [&](int64_t tokens) { told += tokens; });
    ASSERT_TRUE(result);
    EXPECT_EQ(result->asked, sequences);
    EXPECT_EQ(result->right, sequences);
    EXPECT_EQ(told, 300 * sequences);
    EXPECT_GT(result->us_per_token, 0);
    EXPECT_GT(result->resident_bytes, 1 << 20);
  }
}

TEST_F(RecallModel, StopsBetweenSteps) {
  std::atomic<bool> stop = false;
  int64_t told = 0;
  const RecallOptions options{.length = 100000, .sequences = 3, .stop = &stop};
  EXPECT_FALSE(
      measure_recall(*engine_, options, [&](int64_t tokens) { told += tokens, stop = true; }));
  EXPECT_LT(told, 1000);
}

TEST_F(RecallModel, IsRefusedForATaskWithMoreIdsThanItHas) {
  EXPECT_THAT(test::message_of<InputError>(
                  [&] { measure_recall(*engine_, {.task = RecallTask::copying}, {}); }),
              HasSubstr("induction has 16 ids; the task copying needs 18"));
}

TEST(TransformerCost, IsThatOfKeysValuesAndTheProductsWithThem) {
  ModelConfig config;
  config.d_model = 64;
  config.layers.resize(2);
  const TransformerCost cost = transformer_cost(config, 1 << 20);
  EXPECT_EQ(cost.kv_bytes, int64_t{1} << 30);           // 2 * 2 * 64 * 4 * 2^20
  EXPECT_EQ(cost.attention_flops, int64_t{512} << 20);  // 4 * 2 * 64 * 2^20
}

}  // namespace
}  // namespace krait
