// The bundled model `tales`: logits of the PyTorch code that trained it, and what it is for.
// Facts that it was never trained on are told, and asked for after some tales.
#include <algorithm>
#include <cmath>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/conversation.h"

namespace krait {
namespace {

using testing::HasSubstr;

struct Told {
  const char *statement, *question, *value;
};

class TalesTest : public testing::Test {
 protected:
  TalesTest() {
    OpenOptions options;
    options.model = "tales";
    options.backend.device = "cpu";
    engine_ = Engine::open(options);
  }

  // The likeliest answer, up to `max_tokens` of it.
  static std::string say(Conversation& chat, const std::string& message, int64_t max_tokens) {
    GenerateOptions options;
    options.max_tokens = max_tokens;
    options.sampling.temperature = 0;
    return chat.say(message, options, [](std::string_view) { return true; }).answer.text;
  }

  std::unique_ptr<Engine> engine_;
};

TEST_F(TalesTest, LogitsAreThoseOfTheTrainingCode) {
  std::ifstream file(std::string(KRAIT_TEST_GOLDEN) + "/bundled/tales.json");
  const auto golden = nlohmann::json::parse(file);
  const auto ids = golden["ids"].get<std::vector<int32_t>>();
  const auto columns = golden["columns"].get<std::vector<size_t>>();
  const auto expected = golden["logits"].get<std::vector<std::vector<float>>>();
  float largest = 0, worst = 0;
  size_t row = 0;
  engine_->session()->feed(ids, [&](int64_t, std::span<const float> logits) {
    for (size_t i = 0; i < columns.size(); ++i) {
      largest = std::max(largest, std::abs(expected[row][i]));
      worst = std::max(worst, std::abs(expected[row][i] - logits[columns[i]]));
    }
    ++row;
  });
  EXPECT_EQ(row, expected.size());
  EXPECT_LE(worst, 1e-4f * largest);
}

}  // namespace
}  // namespace krait
