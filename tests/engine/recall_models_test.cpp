// The bundled recall models: logits of the PyTorch code that trained them, and their tasks. The
// time-invariant twins have the same shape and training, and cannot do them.
#include <algorithm>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/demo.h"
#include "krait/engine.h"

namespace krait {
namespace {

std::unique_ptr<Engine> open(const std::string& model) {
  OpenOptions options;
  options.model = model;
  options.backend.device = "cpu";
  return Engine::open(options);
}

class RecallModels : public testing::TestWithParam<std::string> {};

TEST_P(RecallModels, LogitsAreThoseOfTheTrainingCode) {
  std::ifstream file(std::string(KRAIT_TEST_GOLDEN) + "/bundled/" + GetParam() + ".json");
  const auto golden = nlohmann::json::parse(file);
  const auto ids = golden["ids"].get<std::vector<int32_t>>();
  const auto expected = golden["logits"].get<std::vector<std::vector<float>>>();
  float largest = 0, worst = 0;
  size_t row = 0;
  const auto engine = open(GetParam());
  engine->session()->feed(ids, [&](int64_t, std::span<const float> logits) {
    for (size_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::abs(expected[row][i]));
      worst = std::max(worst, std::abs(expected[row][i] - logits[i]));
    }
    ++row;
  });
  EXPECT_EQ(row, expected.size());
  EXPECT_LE(worst, 1e-4f * largest);
}

INSTANTIATE_TEST_SUITE_P(Bundled, RecallModels,
                         testing::Values("induction", "copying", "induction-lti", "copying-lti"),
                         [](const auto& suite) {
                           std::string name = suite.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Somewhere the special id, and the answer after it; at the end the special id again. The place is
// never among the last tokens, which a convolution alone would remember.
TEST(InductionModel, RecallsOverDistancesFarBeyondItsTraining) {
  constexpr int32_t kOrdinary = 15, kSpecial = 15;  // ids 0 to 14, and the one that asks
  const auto engine = open("induction");
  std::mt19937 random(7);
  for (const size_t length : {size_t{256}, size_t{1024}, size_t{4096}, size_t{16384}}) {
    for (int sequence = 0; sequence < 5; ++sequence) {
      std::vector<int32_t> ids(length);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % kOrdinary);
      const size_t place = random() % (length - 16);
      ids[place] = ids.back() = kSpecial;
      const auto session = engine->session(History::discard);
      session->feed(ids);
      const auto logits = session->logits();
      EXPECT_EQ(std::max_element(logits.begin(), logits.end()) - logits.begin(), ids[place + 1])
          << length << " tokens, asked after " << length - place;
    }
  }
}

double accuracy(const std::string& model, RecallTask task, int64_t length, int64_t sequences) {
  const auto engine = open(model);
  return measure_recall(*engine, {.task = task, .length = length, .sequences = sequences}, {})
      ->accuracy();
}

TEST(CopyingModel, CopiesOutOfNoiseFourTimesAsLongAsInTraining) {
  EXPECT_GE(accuracy("copying", RecallTask::copying, 256, 40), 0.98);
  EXPECT_GE(accuracy("copying", RecallTask::copying, 1024, 20), 0.98);
  EXPECT_GE(accuracy("copying", RecallTask::copying, 4096, 10), 0.98);
}

// Over short distances they are right now and then: a convolution remembers those.
TEST(TimeInvariantTwins, AreNearChanceFarFromWhatTheyAreToRemember) {
  EXPECT_LE(accuracy("induction-lti", RecallTask::induction, 4096, 40), 0.25);
  EXPECT_LE(accuracy("copying-lti", RecallTask::copying, 4096, 10), 0.25);
}

}  // namespace
}  // namespace krait
