// Block-quantised weights: stored blocks keep their values and their products, extremes are exact,
// and what a type cannot hold is refused.
#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/backend/support.h"
#include "tests/kernels/support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::Random, test::StoredTensor, test::TestRows;
using testing::AllOf, testing::HasSubstr;

constexpr DType kBlockTypes[] = {DType::q8_0, DType::q4_0, DType::q4_k, DType::q6_k};

class QuantisedMatrix : public testing::TestWithParam<test::Device> {};
INSTANTIATE_TEST_SUITE_P(Device, QuantisedMatrix, testing::ValuesIn(test::devices()),
                         [](const auto& suite) { return suite.param.name; });

std::vector<float> all_values(const Tensor& tensor) {
  std::vector<float> values(tensor.elements());
  copy_to_f32(tensor, 0, tensor.elements(), values.data(), "t");
  return values;
}

std::vector<float> embedded(Backend& backend, const Matrix& matrix) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < matrix.rows; ++i) ids.push_back(i);
  TestRows out(backend, {}, matrix.rows, matrix.cols);
  backend.embed(matrix, ids, out.view);
  return out.values();
}

// Random bytes, all of them valid levels and small scales, between finite halves.
std::vector<std::byte> random_blocks(DType type, int64_t count, Random& random) {
  const DTypeInfo& info = dtype_info(type);
  std::vector<std::byte> bytes(count * info.block_bytes);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random(0.0f, 256.0f));
  for (int64_t i = 0; i < count; ++i) {
    std::byte* block = bytes.data() + i * info.block_bytes;
    const auto put = [&](int64_t at) {
      const uint16_t half = f16_from_f32(random(-0.01f, 0.01f));
      std::memcpy(block + at, &half, 2);
    };
    put(type == DType::q6_k ? 208 : 0);
    if (type == DType::q4_k) put(2);
  }
  return bytes;
}

TEST_P(QuantisedMatrix, StoredBlocksKeepEveryBitOfTheirValues) {
  constexpr int64_t kRows = 45, kCols = 768;
  Random random(1);
  const auto backend = GetParam()(2);
  for (const DType type : kBlockTypes) {
    const auto bytes = random_blocks(type, kRows * kCols / dtype_info(type).block_elements, random);
    const Tensor tensor{type, {kRows, kCols}, bytes};
    const auto matrix = backend->matrix(tensor, type, "w");
    const std::vector<float> expected = all_values(tensor), found = embedded(*backend, *matrix);
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), expected.size() * 4), 0)
        << dtype_name(type);
  }
}

TEST_P(QuantisedMatrix, BlocksOfAnotherTypeAreConverted) {
  constexpr int64_t kRows = 33, kCols = 512;
  Random random(2);
  const auto backend = GetParam()(1);
  for (const DType from : kBlockTypes)
    for (const DType to : {DType::f32, DType::q8_0, DType::q6_k}) {
      if (from == to) continue;
      const StoredTensor stored(random.values(kRows * kCols), {kRows, kCols}, from, 1);
      const std::vector<float> values = all_values(stored.tensor());
      const StoredTensor plain(values, {kRows, kCols}, DType::f32);
      const auto a = backend->matrix(stored.tensor(), to, "w");
      const auto b = backend->matrix(plain.tensor(), to, "w");
      EXPECT_EQ(embedded(*backend, *a), embedded(*backend, *b))
          << dtype_name(from) << " as " << dtype_name(to);
    }
}

TEST_P(QuantisedMatrix, TakesTheBytesOfTheFileWithinThreePercent) {
  constexpr int64_t kRows = 64, kCols = 1024;
  Random random(3);
  const auto backend = GetParam()(1);
  const StoredTensor stored(random.values(kRows * kCols), {kRows, kCols}, DType::f32);
  for (const DType type : kBlockTypes) {
    const DTypeInfo& info = dtype_info(type);
    const double file = static_cast<double>(kRows * kCols / info.block_elements * info.block_bytes);
    const double memory = static_cast<double>(backend->matrix(stored.tensor(), type, "w")->bytes);
    EXPECT_GE(memory / file, 1.0) << dtype_name(type);
    const bool wide = type == DType::q6_k && GetParam().q6_k_as_bytes;
    EXPECT_LE(memory / file, wide ? 1.31 : 1.03) << dtype_name(type);
  }
}

// The largest levels, scales and activations: integer sums must not wrap or saturate.
TEST_P(QuantisedMatrix, ExtremesAreExactOnEveryInstructionSet) {
  constexpr int64_t kRows = 32, kCols = 256;
  for (const DType type : kBlockTypes) {
    BlockParts parts;
    parts.d = f16_from_f32(1.0f);
    parts.scale.fill(type == DType::q6_k ? -128 : type == DType::q4_k ? 63 : 1);
    for (const bool high : {false, true}) {
      const int top = type == DType::q8_0 ? 255 : type == DType::q6_k ? 63 : 15;
      parts.level.fill(static_cast<uint8_t>(high ? top : 0));
      parts.dmin = f16_from_f32(type == DType::q4_k && !high ? 1.0f : 0.0f);
      parts.min.fill(type == DType::q4_k && !high ? 63 : 0);
      const DTypeInfo& info = dtype_info(type);
      std::vector<std::byte> bytes(kRows * kCols / info.block_elements * info.block_bytes);
      for (size_t at = 0; at < bytes.size(); at += info.block_bytes)
        join_block(type, parts, bytes.data() + at);
      const Tensor tensor{type, {kRows, kCols}, bytes};
      const float weight = all_values(tensor)[0];
      for (const float x : {127.0f, -127.0f}) {
        const auto backend = GetParam()(1);
        const auto matrix = backend->matrix(tensor, type, "w");
        TestRows in(*backend, std::vector<float>(kCols, x), 1, kCols), out(*backend, {}, 1, kRows);
        backend->linear(*matrix, nullptr, in.view, out.view, false);
        for (const float y : out.values())
          ASSERT_EQ(y, weight * x * kCols) << dtype_name(type) << " " << weight << " * " << x;
      }
    }
  }
}

TEST_P(QuantisedMatrix, WhatTheTypeCannotHoldIsRefused) {
  const auto backend = GetParam()(1);
  for (const DType type : kBlockTypes) {
    const auto message = [&](float value) {
      std::vector<float> w(40 * 70, 0.5f);
      w[39 * 70 + 69] = value;
      const StoredTensor stored(w, {40, 70}, DType::f32);
      return test::message_of<InputError>([&] { backend->matrix(stored.tensor(), type, "wide"); });
    };
    const std::string expected =
        " at [39, 69], beyond what " + std::string(dtype_name(type)) + " can hold; use bf16 or f32";
    EXPECT_THAT(message(1e10f), HasSubstr(expected));
    EXPECT_THAT(message(-1e10f), HasSubstr("tensor wide holds -10000000000"));
    EXPECT_EQ(message(NAN), "tensor wide holds nan at [39, 69]; expected finite numbers");
    EXPECT_EQ(message(-INFINITY), "tensor wide holds -inf at [39, 69]; expected finite numbers");
  }
}

TEST_P(QuantisedMatrix, TheLargestValuesOfATypeStayFinite) {
  const auto backend = GetParam()(1);
  for (const DType type : kBlockTypes)
    for (const float sign : {1.0f, -1.0f}) {
      std::vector<float> w(32 * 256, 0.0f);
      for (size_t i = 0; i < w.size(); ++i)
        w[i] = sign * block_type_limit(type) * (i % 3 == 0 ? 1.0f : 0.3f);
      const StoredTensor stored(w, {32, 256}, DType::f32);
      const auto matrix = backend->matrix(stored.tensor(), type, "w");
      for (const float value : embedded(*backend, *matrix))
        ASSERT_TRUE(std::isfinite(value)) << dtype_name(type);
    }
}

TEST_P(QuantisedMatrix, StoredScalesThatAreNotFiniteAreRefused) {
  const auto backend = GetParam()(1);
  for (const DType type : kBlockTypes)
    for (const uint16_t bits : {uint16_t{0x7c00}, uint16_t{0xfe01}}) {
      Random random(4);
      const DTypeInfo& info = dtype_info(type);
      auto bytes = random_blocks(type, 40 * 256 / info.block_elements, random);
      std::memcpy(bytes.data() + bytes.size() - info.block_bytes + (type == DType::q6_k ? 208 : 0),
                  &bits, 2);
      const Tensor tensor{type, {40, 256}, bytes};
      EXPECT_THAT(
          test::message_of<InputError>([&] { backend->matrix(tensor, type, "broken"); }),
          AllOf(HasSubstr("tensor broken has a " + std::string(dtype_name(type)) +
                          " block whose scale is "),
                HasSubstr(info.block_elements == 32 ? ", at [39, 224];" : ", at [39, 0];")));
    }
}

TEST_P(QuantisedMatrix, WeightsThatAreNotFiniteAreRefused) {
  const auto backend = GetParam()(2);
  for (const DType stored : {DType::f32, DType::f16, DType::bf16})
    for (const DType type : {DType::f32, DType::f16, DType::bf16})
      for (const auto& [value, text] :
           {std::pair(NAN, "nan"), {INFINITY, "inf"}, {-INFINITY, "-inf"}}) {
        std::vector<float> w(70 * 33, 60000.0f);  // near the largest half
        w[1] = -60000.0f;
        const StoredTensor finite(w, {70, 33}, stored);
        EXPECT_NE(backend->matrix(finite.tensor(), stored, "w"), nullptr);
        w[69 * 33 + 32] = w[67 * 33 + 4] = value;
        const StoredTensor tensor(w, {70, 33}, stored);
        EXPECT_EQ(
            test::message_of<InputError>([&] { backend->matrix(tensor.tensor(), type, "w"); }),
            "tensor w holds " + std::string(text) + " at [67, 4]; expected finite numbers");
      }
}

TEST_P(QuantisedMatrix, WeightsBeyondBf16AreRefused) {
  const auto backend = GetParam()(1);
  const StoredTensor tensor({1.0f, 3.4e38f}, {1, 2}, DType::f32);
  EXPECT_NE(backend->matrix(tensor.tensor(), DType::f32, "w"), nullptr);
  EXPECT_EQ(
      test::message_of<InputError>([&] { backend->matrix(tensor.tensor(), DType::bf16, "w"); }),
      "tensor w holds 339999995214436424907732413799364296704.000000 at [0, 1], beyond what bf16 "
      "can hold; use bf16 or f32");
}

}  // namespace
}  // namespace krait
