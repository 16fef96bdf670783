// Quantised blocks against those of another implementation, and against what is least to expect.
#include "src/base/quantize_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace krait {
namespace {

constexpr DType kTypes[] = {DType::q8_0, DType::q4_0, DType::q4_k, DType::q6_k};

std::string golden(const std::string& name) {
  std::ifstream file(std::string(KRAIT_TEST_GOLDEN) + "/quantize/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Sums of twelve uniform numbers: near enough to normal, the same on every machine.
std::vector<float> normal_values(size_t count, uint64_t state) {
  std::vector<float> out(count, -6.0f);
  for (float& value : out)
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value += static_cast<float>(state >> 40) * 0x1p-24f;
    }
  return out;
}

std::vector<float> round_trip(DType type, const std::vector<float>& x) {
  std::vector<float> out(x.size());
  std::vector<std::byte> block(dtype_info(type).block_bytes);
  for (size_t i = 0; i < x.size(); i += dtype_info(type).block_elements) {
    quantize_block(type, &x[i], block.data());
    dequantize_block(type, block.data(), &out[i]);
  }
  return out;
}

double relative_rmse(DType type, const std::vector<float>& x) {
  const std::vector<float> y = round_trip(type, x);
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(static_cast<double>(y[i]) - x[i], 2);
    power += std::pow(static_cast<double>(x[i]), 2);
  }
  return std::sqrt(error / power);
}

TEST(QuantizeBlocks, SimpleTypesAreThoseOfGgufBitForBit) {
  const std::string bytes = golden("values.f32");
  std::vector<float> values(bytes.size() / 4);
  ASSERT_EQ(values.size(), 96u * 32u);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (const DType type : {DType::q8_0, DType::q4_0}) {
    std::string found(values.size() / 32 * dtype_info(type).block_bytes, '\0');
    for (size_t block = 0; block < values.size() / 32; ++block)
      quantize_block(
          type, &values[block * 32],
          std::as_writable_bytes(std::span(found)).data() + block * dtype_info(type).block_bytes);
    EXPECT_TRUE(found == golden(std::string(dtype_name(type)))) << dtype_name(type);
  }
}

// Rounding to nearest under the widest scales has errors of 0.0783 (q4_k) and 0.0193 (q6_k) here.
TEST(QuantizeBlocks, ErrorsAreBelowThoseOfRoundingToNearest) {
  const std::vector<float> x = normal_values(1 << 18, 3);
  EXPECT_LE(relative_rmse(DType::q8_0, x), 0.0054);
  EXPECT_LE(relative_rmse(DType::q4_0, x), 0.087);
  EXPECT_LE(relative_rmse(DType::q4_k, x), 0.0715);
  EXPECT_LE(relative_rmse(DType::q6_k, x), 0.0172);
}

TEST(QuantizeBlocks, ValuesOfOneSignAndWideRangesAreNotWorse) {
  std::vector<float> x = normal_values(1 << 16, 5);
  for (size_t i = 0; i < x.size(); ++i)  // parts of sizes 1 to 1000, all positive or all negative
    x[i] = (std::fabs(x[i]) + 1.0f) * (i / 256 % 2 ? 1.0f : -1.0f) *
           std::pow(10.0f, static_cast<float>(i / 512 % 4));
  EXPECT_LE(relative_rmse(DType::q4_k, x), 0.045);
  EXPECT_LE(relative_rmse(DType::q6_k, x), 0.02);
}

TEST(QuantizeBlocks, ConstantAndTinyBlocksStayWhatTheyAre) {
  for (const DType type : kTypes) {
    for (const float value : {0.0f, 1.0f, -1.0f, 0.02f, -300.0f}) {
      const std::vector<float> y = round_trip(type, std::vector<float>(256, value));
      for (const float found : y)
        ASSERT_NEAR(found, value, std::fabs(value) * 0.005f) << dtype_name(type);
    }
    for (const float value : {1e-12f, 1e-30f, 1e-42f, -1e-45f})  // below the halves
      for (const float found : round_trip(type, std::vector<float>(256, value)))
        ASSERT_EQ(found, 0.0f) << dtype_name(type) << " " << value;
  }
}

TEST(QuantizeBlocks, AnOutlierDoesNotDisturbOtherParts) {
  std::vector<float> x = normal_values(256, 9);
  const std::vector<float> without = round_trip(DType::q4_k, x);
  x[40] = 30.0f;
  const std::vector<float> with = round_trip(DType::q4_k, x);
  double before = 0, after = 0;
  for (int i = 64; i < 256; ++i) {
    before += std::pow(without[i] - x[i], 2);
    after += std::pow(with[i] - x[i], 2);
  }
  EXPECT_LE(after, 2 * before);
}

TEST(QuantizeBlocks, PartsAndBytesAreTheSame) {
  uint64_t state = 11;
  for (const DType type : kTypes) {
    std::vector<std::byte> block(dtype_info(type).block_bytes), joined(block.size());
    for (int round = 0; round < 50; ++round) {
      for (std::byte& b : block) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        b = static_cast<std::byte>(state >> 56);
      }
      BlockParts parts;
      split_block(type, block.data(), parts);
      join_block(type, parts, joined.data());
      ASSERT_EQ(block, joined) << dtype_name(type);
    }
  }
}

TEST(QuantizeBlocks, TheLargestValuesHaveFiniteScales) {
  for (const DType type : kTypes)
    for (const float sign : {1.0f, -1.0f})
      for (const float rest : {0.0f, 0.4f, 1.0f, -1.0f}) {
        const float limit = block_type_limit(type);
        std::vector<float> x(256, sign * rest * limit);
        x[100] = sign * limit;
        for (const float value : round_trip(type, x))
          ASSERT_TRUE(std::isfinite(value)) << dtype_name(type) << " " << rest;
      }
}

}  // namespace
}  // namespace krait
