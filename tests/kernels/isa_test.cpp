// The choice of instruction set: which one runs is not a matter of belief.
#include "src/backend/cpu/isa.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/dtype.h"
#include "krait/error.h"
#include "tests/kernels/support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

TEST(IsaTest, AutoTakesTheBestAndScalarIsAlwaysThere) {
  const std::vector<std::string> isas = available_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.back(), "scalar");
  EXPECT_EQ(select_kernels("auto").isa, isas.front());
}

bool has(const std::string& isa) {
  const std::vector<std::string> isas = available_isas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

// An extension shares what it does not make faster with the set it extends; no two sets share all.
TEST(IsaTest, EveryNameGivesItsOwnCode) {
  using Products = std::array<void (*)(const cpu::Product&) noexcept, 3>;
  std::vector<Products> seen;
  for (const std::string& isa : available_isas()) {
    const cpu::Kernels& kernels = select_kernels(isa);
    EXPECT_EQ(kernels.isa, isa);
    const Products own = {kernels.product_float, kernels.product_rounded,
                          kernels.product_quantised};
    EXPECT_THAT(seen, testing::Not(testing::Contains(own)));
    seen.push_back(own);
  }
}

TEST(IsaTest, AnExtensionReplacesTheProductsOfItsInstructions) {
  if (!has("avx512bf16")) GTEST_SKIP() << "needs AVX-512 BF16";
  const cpu::Kernels &base = select_kernels("avx512"), &vnni = select_kernels("avx512vnni"),
                     &bf16 = select_kernels("avx512bf16");
  EXPECT_NE(base.product_quantised, vnni.product_quantised);
  EXPECT_NE(base.peak_int8, vnni.peak_int8);
  EXPECT_EQ(base.product_rounded, vnni.product_rounded);
  EXPECT_EQ(vnni.product_quantised, bf16.product_quantised);
  EXPECT_NE(vnni.product_rounded, bf16.product_rounded);
  EXPECT_EQ(vnni.peak_bf16, nullptr);
  EXPECT_NE(bf16.peak_bf16, nullptr);
  EXPECT_EQ(base.product_float, bf16.product_float);
}

// One product of 2^-129 with 2^126: a subnormal weight is nothing to the instruction for bf16, and
// only to it. So the result tells which instruction ran, not only which function was named.
float product_of_subnormals(const cpu::Kernels& kernels) {
  std::vector<uint16_t> panel(cpu::kPanelRows * 2, 0x0010);  // 2^-129
  std::vector<uint16_t> x(16, 0);
  x[0] = 0x7e80;  // 2^126
  float out = -1;
  cpu::Product product;
  product.packing = cpu::Packing::bf16;
  product.panels = panel.data();
  product.rows = product.cols = product.last_panel = product.last_token = product.out_stride = 1;
  product.rounded = {x.data(), 16};
  product.out = &out;
  kernels.product(product);
  return out;
}

TEST(IsaTest, OnlyBf16RunsTheInstructionOfItsName) {
  for (const std::string& isa : available_isas())
    EXPECT_EQ(product_of_subnormals(select_kernels(isa)), isa == "avx512bf16" ? 0.0f : 0x1p-3f)
        << isa;
}

TEST(IsaTest, RoundingOfActivationsIsToNearestEvenEverywhere) {
  test::Random random(6);
  for (const int64_t cols : {1, 15, 16, 17, 100, 257}) {
    std::vector<float> x = random.values(cols, -3e38f, 3e38f);
    for (int64_t i = 0; i < cols; i += 3) x[i] *= 1e-38f * x[i];
    const float special[] = {NAN,    INFINITY, -INFINITY,   3.4e38f,
                             1e-40f, -0.0f,    1.00390625f, 1.01171875f};
    for (int64_t i = 0; i < std::min<int64_t>(cols, 8); ++i) x[cols - 1 - i] = special[i];
    const int64_t stride = (cols + 15) / 16 * 16;
    for (const std::string& isa : available_isas()) {
      std::vector<uint16_t> rounded(2 * stride + 1, 0x7777);
      select_kernels(isa).round_row(x.data(), cols, 1, {rounded.data(), stride});
      for (int64_t k = 0; k < stride; ++k)
        EXPECT_EQ(rounded[stride + k], k < cols ? bf16_from_f32(x[k]) : 0) << isa << " " << k;
      EXPECT_EQ(rounded[stride - 1], 0x7777) << isa;
      EXPECT_EQ(rounded[2 * stride], 0x7777) << isa;
    }
  }
}

TEST(IsaTest, AnUnknownNameIsRefused) {
  EXPECT_THAT(test::message_of<InputError>([] { select_kernels("sse9"); }),
              testing::HasSubstr("--cpu-isa sse9: expected auto, scalar, avx2, avx512, "
                                 "avx512vnni or avx512bf16"));
}

TEST(IsaTest, FusedInstructionSetsAgreeToTheBit) {
  if (!has("avx512")) GTEST_SKIP() << "needs AVX-512 and AVX2";
  test::Random random(5);
  const std::vector<float> x = random.values(1000, -90.0f, 90.0f);
  std::vector<float> a(1000), b(1000);
  const auto same = [&](auto member) {
    (select_kernels("avx512").*member)(x.data(), 1000, a.data());
    (select_kernels("avx2").*member)(x.data(), 1000, b.data());
    return std::memcmp(a.data(), b.data(), 4000) == 0;
  };
  EXPECT_TRUE(same(&cpu::Kernels::exp));
  EXPECT_TRUE(same(&cpu::Kernels::softplus));
  EXPECT_TRUE(same(&cpu::Kernels::silu));
}

}  // namespace
}  // namespace krait
