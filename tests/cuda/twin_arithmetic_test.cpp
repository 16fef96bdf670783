// Conversions and arithmetic of the twin.
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "kernels/cuda/device.h"
#include "krait/dtype.h"

namespace krait::cuda {
namespace {

TEST(TwinArithmetic, F16ToF32AsEverywhereElse) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float expected = f32_from_f16(static_cast<uint16_t>(bits));
    const float value = f32_of_f16(static_cast<uint16_t>(bits));
    if (std::isnan(expected))
      ASSERT_TRUE(std::isnan(value)) << bits;
    else
      ASSERT_EQ(bits_of_float(value), bits_of_float(expected)) << bits;
  }
}

TEST(TwinArithmetic, PackRoundsAsEverywhereElse) {
  std::mt19937 generator(1);
  const auto random = [&] { return static_cast<uint32_t>(generator()); };
  for (int i = 0; i < 100000; ++i) {
    const uint32_t low = random(), high = i % 3 == 0 ? random() & 0xffff8000u : random();
    const uint32_t packed = pack_bf16(float_of_bits(low), float_of_bits(high));
    for (const auto& [bits, half] : {std::pair{low, packed & 0xffffu}, {high, packed >> 16}}) {
      const float value = float_of_bits(bits);
      ASSERT_EQ(half, std::isnan(value) ? 0x7fffu : bf16_from_f32(value)) << bits;
    }
  }
  EXPECT_EQ(low_bf16(0x40003f80), 1.0f);
  EXPECT_EQ(high_bf16(0x40003f80), 2.0f);
}

TEST(TwinArithmetic, PermuteBytes) {
  const uint32_t a = 0x33221100, b = 0x77665544;
  EXPECT_EQ(permute_bytes(a, b, 0x3210), a);
  EXPECT_EQ(permute_bytes(a, b, 0x7654), b);
  EXPECT_EQ(permute_bytes(a, b, 0x0473), 0x00447733u);
}

TEST(TwinArithmetic, OneRoundingWhereOneIsMeant) {
  const float a = 1 + 0x1p-12f;
  EXPECT_EQ(multiply_add(a, a, -1), 0x1p-11f + 0x1p-24f);
  EXPECT_NE(a * a - 1, 0x1p-11f + 0x1p-24f);
  EXPECT_EQ(exp2_fast(-3), 0.125f);
  EXPECT_EQ(exp2_fast(-std::numeric_limits<float>::infinity()), 0);
  EXPECT_EQ(reciprocal_root(4), 0.5f);
  EXPECT_EQ(reciprocal_root(3), 0.577350269f);
}

TEST(TwinArithmetic, SiluAndSoftplus) {
  EXPECT_FLOAT_EQ(silu(1), 0.7310585786f);
  EXPECT_EQ(silu(-200), 0);
  EXPECT_FLOAT_EQ(softplus(0), 0.6931471806f);
  EXPECT_EQ(softplus(20.5f), 20.5f);
}

}  // namespace
}  // namespace krait::cuda
