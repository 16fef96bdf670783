#include "krait/dtype.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace krait {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A binary floating-point format by its definition, in double arithmetic: independent of the bit
// tricks under test.
struct Format {
  int exponent_bits;
  int mantissa_bits;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }

  double value(uint16_t bits) const {
    const int mantissa = bits & ((1 << mantissa_bits) - 1);
    const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
    const double fraction = std::ldexp(mantissa, -mantissa_bits) + (exponent ? 1.0 : 0.0);
    return sign * std::ldexp(fraction, std::max(exponent, 1) - bias());
  }

  // Nearest representable value by search; ties go to the even bit pattern.
  uint16_t nearest(float wanted) const {
    const uint16_t sign = std::signbit(wanted) ? 0x8000 : 0;
    const double magnitude = std::fabs(static_cast<double>(wanted));
    const int infinity = ((1 << exponent_bits) - 1) << mantissa_bits;
    int low = 0, high = infinity;  // value(low) <= magnitude; value(high) > magnitude or infinity
    if (std::isinf(wanted)) return static_cast<uint16_t>(sign | infinity);
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (value(static_cast<uint16_t>(middle)) <= magnitude ? low : high) = middle;
    }
    // Infinity rounds as if it were the next power of two.
    const double above =
        high == infinity ? std::ldexp(1.0, bias() + 1) : value(static_cast<uint16_t>(high));
    const double to_low = magnitude - value(static_cast<uint16_t>(low));
    const double to_high = above - magnitude;
    const bool up = to_high < to_low || (to_high == to_low && (low & 1));
    return static_cast<uint16_t>(sign | (up ? high : low));
  }
};

constexpr Format kHalf{5, 10};
constexpr Format kBrain{8, 7};

struct Conversion {
  const char* name;
  Format format;
  float (*widen)(uint16_t) noexcept;
  uint16_t (*narrow)(float) noexcept;
};

class NarrowFloat : public testing::TestWithParam<Conversion> {
 protected:
  const Conversion& c() const { return GetParam(); }
};

TEST_P(NarrowFloat, WidensEveryBitPatternExactly) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const double expected = c().format.value(bits);
    const float got = c().widen(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << i;
    } else {
      ASSERT_EQ(static_cast<double>(got), expected) << i;
      ASSERT_EQ(std::signbit(got), (i & 0x8000) != 0) << i;
    }
  }
}

TEST_P(NarrowFloat, GivesEveryBitPatternBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const uint16_t back = c().narrow(c().widen(bits));
    if (std::isnan(c().format.value(bits)))
      ASSERT_TRUE(std::isnan(c().format.value(back))) << i;
    else
      ASSERT_EQ(back, bits) << i;
  }
}

TEST_P(NarrowFloat, RoundsToNearestAndTiesToEven) {
  for (uint32_t i = 0; i < 65535; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float low = c().widen(bits);
    const double high = c().format.value(static_cast<uint16_t>(i + 1));
    if (std::isnan(low) || std::isinf(low) || std::isnan(high) || std::isinf(high)) continue;
    const auto middle = static_cast<float>((static_cast<double>(low) + high) / 2);
    for (const float value : {middle, std::nextafter(middle, 0.0f),
                              std::nextafter(middle, low < 0 ? -kInfinity : kInfinity)})
      ASSERT_EQ(c().narrow(value), c().format.nearest(value)) << i << " " << value;
  }
}

TEST_P(NarrowFloat, RoundsRandomFloatsLikeTheDefinition) {
  std::mt19937 random(7);
  for (int i = 0; i < 300'000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value))
      ASSERT_TRUE(std::isnan(c().widen(c().narrow(value))));
    else
      ASSERT_EQ(c().narrow(value), c().format.nearest(value)) << value;
  }
}

TEST_P(NarrowFloat, RoundsTheEdgesOfItsRange) {
  const float largest = c().widen(static_cast<uint16_t>(c().narrow(kInfinity) - 1));
  const double half_step = std::ldexp(1.0, c().format.bias() - c().format.mantissa_bits - 1);
  const auto threshold = static_cast<float>(static_cast<double>(largest) + half_step);
  EXPECT_EQ(c().widen(c().narrow(std::nextafter(threshold, 0.0f))), largest);
  EXPECT_EQ(c().widen(c().narrow(threshold)), kInfinity);  // a tie: up to even
  EXPECT_EQ(c().widen(c().narrow(-threshold)), -kInfinity);
  for (const float value : {0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f,
                            0x1p-133f, 0x1p-134f, 3e38f, kInfinity, -kInfinity})
    EXPECT_EQ(c().narrow(value), c().format.nearest(value)) << value;
}

TEST_P(NarrowFloat, KeepsNanWhateverItsPayload) {
  for (const uint32_t bits : {0x7f800001u, 0x7f8000ffu, 0x7fbfffffu, 0x7fc00000u, 0x7fffffffu,
                              0xff800001u, 0xffffffffu}) {
    const uint16_t narrow = c().narrow(std::bit_cast<float>(bits));
    EXPECT_TRUE(std::isnan(c().format.value(narrow))) << std::hex << bits;
    EXPECT_EQ(narrow >> 15, bits >> 31) << std::hex << bits;
  }
}

INSTANTIATE_TEST_SUITE_P(All, NarrowFloat,
                         testing::Values(Conversion{"f16", kHalf, f32_from_f16, f16_from_f32},
                                         Conversion{"bf16", kBrain, f32_from_bf16, bf16_from_f32}),
                         [](const auto& test_case) { return test_case.param.name; });

TEST(DType, NamesAndSizesAgree) {
  struct Expected {
    DType type;
    const char* name;
    int32_t elements, bytes;
    bool weight;
  };
  for (const Expected& e :
       {Expected{DType::f32, "f32", 1, 4, true}, {DType::f16, "f16", 1, 2, true},
        {DType::bf16, "bf16", 1, 2, true},       {DType::f64, "f64", 1, 8, false},
        {DType::i8, "i8", 1, 1, false},          {DType::i16, "i16", 1, 2, false},
        {DType::i32, "i32", 1, 4, false},        {DType::i64, "i64", 1, 8, false},
        {DType::u8, "u8", 1, 1, false},          {DType::boolean, "bool", 1, 1, false},
        {DType::q8_0, "q8_0", 32, 34, true},     {DType::q4_0, "q4_0", 32, 18, true},
        {DType::q4_1, "q4_1", 32, 20, false},    {DType::q5_0, "q5_0", 32, 22, false},
        {DType::q5_1, "q5_1", 32, 24, false},    {DType::q2_k, "q2_k", 256, 84, false},
        {DType::q3_k, "q3_k", 256, 110, false},  {DType::q4_k, "q4_k", 256, 144, true},
        {DType::q5_k, "q5_k", 256, 176, false},  {DType::q6_k, "q6_k", 256, 210, true}}) {
    EXPECT_EQ(dtype_name(e.type), e.name);
    EXPECT_EQ(dtype_info(e.type).block_elements, e.elements) << e.name;
    EXPECT_EQ(dtype_info(e.type).block_bytes, e.bytes) << e.name;
    EXPECT_EQ(is_weight_type(e.type), e.weight) << e.name;
    EXPECT_EQ(is_block_type(e.type), e.elements > 1) << e.name;
    EXPECT_EQ(parse_dtype(e.name), e.type);
  }
  for (const char* unknown : {"", "F32", "f3", "f322", "int8", "q8"})
    EXPECT_EQ(parse_dtype(unknown), std::nullopt) << unknown;
}

}  // namespace
}  // namespace krait
