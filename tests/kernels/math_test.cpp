// Error bounds and limits of the lane functions, on every instruction set of this machine.
#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/reference/reference.h"
#include "tests/kernels/support.h"

namespace krait {
namespace {

using Function = void (*)(const float*, int64_t, float*) noexcept;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Distance from `value` to the exact result in units in the last place of that result.
double ulps(float value, double exact) {
  if (static_cast<float>(exact) == value) return 0.0;
  const float rounded = static_cast<float>(exact);
  const float next = std::nextafter(std::fabs(rounded), kInfinity);
  return std::fabs(value - exact) / (next - std::fabs(rounded));
}

double worst_ulps(Function function, float low, float high, double (*exact)(double)) {
  constexpr int64_t kCount = 200003;  // odd: ends in a partial vector
  std::vector<float> x(kCount), y(kCount);
  for (int64_t i = 0; i < kCount; ++i)
    x[i] = low + (high - low) * static_cast<float>(i) / static_cast<float>(kCount - 1);
  function(x.data(), kCount, y.data());
  double worst = 0;
  for (int64_t i = 0; i < kCount; ++i) worst = std::max(worst, ulps(y[i], exact(x[i])));
  return worst;
}

float at(Function function, float x) {
  float y = -1;
  function(&x, 1, &y);
  return y;
}

class MathTest : public testing::TestWithParam<std::string> {
 protected:
  const cpu::Kernels& kernels_ = select_kernels(GetParam());
};

TEST_P(MathTest, ExpIsWithinTwoUlps) {
  EXPECT_LE(worst_ulps(kernels_.exp, -87.0f, 88.7f, std::exp), 2.0);
  EXPECT_LE(worst_ulps(kernels_.exp, -1.0f, 1.0f, std::exp), 2.0);
  EXPECT_LE(worst_ulps(kernels_.exp, -103.0f, -87.0f, std::exp), 2.0);  // subnormal results
}

TEST_P(MathTest, ExpLimits) {
  EXPECT_EQ(at(kernels_.exp, 0.0f), 1.0f);
  EXPECT_EQ(at(kernels_.exp, -105.0f), 0.0f);
  EXPECT_EQ(at(kernels_.exp, -800.0f), 0.0f);
  EXPECT_EQ(at(kernels_.exp, -kInfinity), 0.0f);
  EXPECT_EQ(at(kernels_.exp, 89.0f), kInfinity);
  EXPECT_EQ(at(kernels_.exp, kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(at(kernels_.exp, NAN)));
}

TEST_P(MathTest, SoftplusIsWithinThreeUlps) {
  EXPECT_LE(worst_ulps(kernels_.softplus, -87.0f, 25.0f, reference::softplus), 3.0);
  EXPECT_LE(worst_ulps(kernels_.softplus, -2.0f, 2.0f, reference::softplus), 3.0);
}

TEST_P(MathTest, SoftplusLimits) {
  EXPECT_EQ(at(kernels_.softplus, 100.0f), 100.0f);
  EXPECT_EQ(at(kernels_.softplus, kInfinity), kInfinity);
  EXPECT_NEAR(at(kernels_.softplus, -20.0f), 2.0611537e-9f, 1e-15f);  // not lost to rounding
  EXPECT_EQ(at(kernels_.softplus, -200.0f), 0.0f);
  EXPECT_TRUE(std::isnan(at(kernels_.softplus, NAN)));
}

TEST_P(MathTest, SiluIsWithinThreeUlps) {
  EXPECT_LE(worst_ulps(kernels_.silu, -80.0f, 80.0f, reference::silu), 3.0);
  EXPECT_EQ(at(kernels_.silu, 0.0f), 0.0f);
  EXPECT_EQ(at(kernels_.silu, -1000.0f), 0.0f);
  EXPECT_EQ(at(kernels_.silu, 1000.0f), 1000.0f);
}

INSTANTIATE_TEST_SUITE_P(Isa, MathTest, testing::ValuesIn(available_isas()),
                         [](const auto& suite) { return suite.param; });

}  // namespace
}  // namespace krait
