// The choice of instruction set: which one runs is not a matter of belief.
#include "src/backend/cpu/isa.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(IsaTest, EveryNameGivesItsOwnCode) {
  std::vector<void (*)(const cpu::Product&) noexcept> products;
  for (const std::string& isa : available_isas()) {
    const cpu::Kernels& kernels = select_kernels(isa);
    EXPECT_EQ(kernels.isa, isa);
    EXPECT_THAT(products, testing::Not(testing::Contains(kernels.product)));
    products.push_back(kernels.product);
  }
}

TEST(IsaTest, AnUnknownNameIsRefused) {
  EXPECT_THAT(test::message_of<InputError>([] { select_kernels("sse9"); }),
              testing::HasSubstr("--cpu-isa sse9: expected auto, scalar, avx2 or avx512"));
}

TEST(IsaTest, FusedInstructionSetsAgreeToTheBit) {
  const std::vector<std::string> isas = available_isas();
  if (isas.size() < 3) GTEST_SKIP() << "needs AVX-512 and AVX2";
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
