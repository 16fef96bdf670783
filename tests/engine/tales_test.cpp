// The bundled model `tales`: logits of the PyTorch code that trained it.
#include <algorithm>
#include <cmath>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/engine.h"

namespace krait {
namespace {

TEST(Tales, LogitsAreThoseOfTheTrainingCode) {
  OpenOptions options;
  options.model = "tales";
  options.backend.device = "cpu";
  const auto engine = Engine::open(options);
  std::ifstream file(std::string(KRAIT_TEST_GOLDEN) + "/bundled/tales.json");
  const auto golden = nlohmann::json::parse(file);
  const auto ids = golden["ids"].get<std::vector<int32_t>>();
  const auto columns = golden["columns"].get<std::vector<size_t>>();
  const auto expected = golden["logits"].get<std::vector<std::vector<float>>>();
  float largest = 0, worst = 0;
  size_t row = 0;
  engine->session()->feed(ids, [&](int64_t, std::span<const float> logits) {
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
