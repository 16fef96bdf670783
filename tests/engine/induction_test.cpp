// The bundled model `induction`: logits of the PyTorch code that trained it, and the task itself.
#include <algorithm>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/engine.h"

namespace krait {
namespace {

constexpr int32_t kOrdinary = 15, kSpecial = 15;  // ids 0 to 14, and the one that asks

class InductionTest : public testing::Test {
 protected:
  InductionTest() {
    OpenOptions options;
    options.model = "induction";
    options.backend.device = "cpu";
    engine_ = Engine::open(options);
  }

  // The likeliest id after the sequence.
  int32_t answer(const std::vector<int32_t>& ids) {
    const auto session = engine_->session(History::discard);
    session->feed(ids);
    const auto logits = session->logits();
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }

  std::unique_ptr<Engine> engine_;
};

TEST_F(InductionTest, LogitsAreThoseOfTheTrainingCode) {
  std::ifstream file(std::string(KRAIT_TEST_GOLDEN) + "/bundled/induction.json");
  const auto golden = nlohmann::json::parse(file);
  const auto ids = golden["ids"].get<std::vector<int32_t>>();
  const auto expected = golden["logits"].get<std::vector<std::vector<float>>>();
  float largest = 0, worst = 0;
  size_t row = 0;
  engine_->session()->feed(ids, [&](int64_t, std::span<const float> logits) {
    for (size_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::abs(expected[row][i]));
      worst = std::max(worst, std::abs(expected[row][i] - logits[i]));
    }
    ++row;
  });
  EXPECT_EQ(row, expected.size());
  EXPECT_LE(worst, 1e-4f * largest);
}

// Somewhere the special id, and the answer after it; at the end the special id again. The place is
// never among the last tokens, which a convolution alone would remember.
TEST_F(InductionTest, RecallsOverDistancesFarBeyondItsTraining) {
  std::mt19937 random(7);
  for (const size_t length : {size_t{256}, size_t{1024}, size_t{4096}, size_t{16384}}) {
    for (int sequence = 0; sequence < 5; ++sequence) {
      std::vector<int32_t> ids(length);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % kOrdinary);
      const size_t place = random() % (length - 16);
      ids[place] = ids.back() = kSpecial;
      EXPECT_EQ(answer(ids), ids[place + 1]) << length << " tokens, asked after " << length - place;
    }
  }
}

}  // namespace
}  // namespace krait
