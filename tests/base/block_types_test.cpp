// Blocks written by hand, for what random ones cannot show: which element is which. That all values
// are those of the reference is shown by tests/formats/gguf_test.cpp.
#include "src/base/block_types.h"

#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "krait/tensor.h"

namespace krait {
namespace {

const std::string kOne("\x00\x3c", 2);  // 1.0 as a half
const std::string kZero("\x00\x00", 2);

std::vector<float> values(DType type, const std::string& block) {
  EXPECT_EQ(std::ssize(block), dtype_info(type).block_bytes);
  std::vector<float> out(dtype_info(type).block_elements);
  const std::string moved = "." + block;  // an odd address
  dequantize_block(type, std::as_bytes(std::span(moved)).data() + 1, out.data());
  return out;
}

TEST(Blocks, Q8IsSigned) {
  std::string q(32, '\0');
  std::iota(q.begin(), q.end(), '\x70');
  std::vector<float> expected(32);
  for (int e = 0; e < 32; ++e) expected[e] = static_cast<float>(e < 16 ? 0x70 + e : 0x70 + e - 256);
  EXPECT_EQ(values(DType::q8_0, kOne + q), expected);
}

// Low nibbles 0..15, high ones 15..0: elements 0 to 15 rise, 16 to 31 fall.
std::string ramp_of_32() {
  std::string q;
  for (int i = 0; i < 16; ++i) q += static_cast<char>(i | (15 - i) << 4);
  return q;
}

TEST(Blocks, LowNibblesOf32ComeBeforeHighOnes) {
  const std::vector<float> q4_0 = values(DType::q4_0, kOne + ramp_of_32());
  const std::vector<float> q4_1 = values(DType::q4_1, kOne + kOne + ramp_of_32());
  for (int e = 0; e < 32; ++e) {
    const int nibble = e < 16 ? e : 31 - e;
    EXPECT_EQ(q4_0[e], static_cast<float>(nibble - 8)) << e;
    EXPECT_EQ(q4_1[e], static_cast<float>(nibble + 1)) << e;
  }
}

TEST(Blocks, FifthBitsAreInTheOrderOfElements) {
  const std::string bits("\x01\x00\x02\x80", 4);  // elements 0, 17 and 31
  const std::vector<float> q5_0 = values(DType::q5_0, kOne + bits + ramp_of_32());
  const std::vector<float> q5_1 = values(DType::q5_1, kOne + kOne + bits + ramp_of_32());
  for (int e = 0; e < 32; ++e) {
    const int q = (e < 16 ? e : 31 - e) + (e == 0 || e == 17 || e == 31 ? 16 : 0);
    EXPECT_EQ(q5_0[e], static_cast<float>(q - 16)) << e;
    EXPECT_EQ(q5_1[e], static_cast<float>(q + 1)) << e;
  }
}

// Scales 1 everywhere, no minimum: of 64 elements the first 32 have the low nibbles.
TEST(Blocks, Q4KTakesThirtyTwoLowNibblesThenThirtyTwoHighOnes) {
  const std::string scales = std::string(4, '\1') + std::string(4, '\0') + std::string(4, '\1');
  std::string q;
  for (int i = 0; i < 128; ++i) q += static_cast<char>(i % 16 | (15 - i % 16) << 4);
  const std::vector<float> found = values(DType::q4_k, kOne + kOne + scales + q);
  for (int e = 0; e < 256; ++e) {
    const int at = e % 32 % 16;
    EXPECT_EQ(found[e], static_cast<float>(e % 64 < 32 ? at : 15 - at)) << e;
  }
}

// Every part of 32 has a scale and a minimum of its own, beyond 4 bits.
TEST(Blocks, Q4KScalesAndMinimaHaveSixBits) {
  const int scale[8] = {1, 18, 35, 63, 5, 22, 39, 62}, min[8] = {60, 2, 33, 17, 61, 9, 40, 24};
  std::string s(12, '\0');
  for (int k = 0; k < 4; ++k) {
    s[k] = static_cast<char>(scale[k] | (scale[k + 4] >> 4) << 6);
    s[k + 4] = static_cast<char>(min[k] | (min[k + 4] >> 4) << 6);
    s[k + 8] = static_cast<char>((scale[k + 4] & 15) | (min[k + 4] & 15) << 4);
  }
  const std::string ones(128, '\x11');
  const std::vector<float> scales = values(DType::q4_k, kOne + kZero + s + ones);
  const std::vector<float> minima = values(DType::q4_k, kZero + kOne + s + ones);
  const std::vector<float> fifth =  // every fifth bit set: q = 17
      values(DType::q5_k, kOne + kOne + s + std::string(32, '\xff') + ones);
  for (int e = 0; e < 256; ++e) {
    EXPECT_EQ(scales[e], static_cast<float>(scale[e / 32])) << e;
    EXPECT_EQ(minima[e], static_cast<float>(-min[e / 32])) << e;
    EXPECT_EQ(fifth[e], static_cast<float>(17 * scale[e / 32] - min[e / 32])) << e;
  }
}

TEST(CopyToF32, TakesRangesThatBeginAndEndInsideBlocks) {
  std::string bytes;
  std::vector<float> whole;
  for (int b = 0; b < 3; ++b) {
    std::string block = kOne;
    for (int e = 0; e < 32; ++e) {
      block += static_cast<char>(b * 32 + e);
      whole.push_back(static_cast<float>(b * 32 + e));
    }
    bytes += block;
  }
  const Tensor tensor{DType::q8_0, {96}, std::as_bytes(std::span(bytes))};
  for (int64_t first = 0; first <= 96; ++first)
    for (int64_t count = 0; first + count <= 96; ++count) {
      std::vector<float> out(count + 1, -1.0f);
      copy_to_f32(tensor, first, count, out.data(), "t");
      EXPECT_EQ(out.back(), -1.0f);
      out.pop_back();
      ASSERT_EQ(out, std::vector<float>(whole.begin() + first, whole.begin() + first + count));
    }
}

}  // namespace
}  // namespace krait
