// The roofs of arithmetic do all the work that they are counted for.
#include "src/backend/cpu/peak.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace krait {
namespace {

TEST(Peak, EveryByteProductIsInTheSums) {
  for (const std::string& isa : available_isas()) {
    const cpu::Kernels& kernels = select_kernels(isa);
    for (const int64_t iterations : {1, 10, 1000}) {
      float sink[16] = {};
      kernels.peak_int8(iterations, sink);
      // 4 products of bytes a lane and step: 4 * -1 + 3 * 1 + 2 * -1 + 1 * 1 = -2.
      for (const float sum : sink)
        EXPECT_EQ(sum, -2.0f * static_cast<float>(cpu::kPeakSteps * iterations)) << isa;
    }
  }
}

TEST(Peak, EveryBf16ProductIsInTheSums) {
  for (const std::string& isa : available_isas()) {
    const cpu::Kernels& kernels = select_kernels(isa);
    if (!kernels.peak_bf16) continue;
    for (const int64_t iterations : {1, 10, 1000}) {
      float sink[16] = {};
      kernels.peak_bf16(iterations, sink);
      // 2 products a lane and step: 2 * 1 + 1 * -1 = 1.
      for (const float sum : sink)
        EXPECT_EQ(sum, static_cast<float>(cpu::kPeakSteps * iterations)) << isa;
    }
  }
}

TEST(Peak, Bf16CountsItsOwnInstructionsOrFloats) {
  const cpu::Kernels& best = select_kernels("auto");
  const double floats = measure_peak(best, 1, Arithmetic::f32);
  const double ratio = measure_peak(best, 1, Arithmetic::bf16) / floats;
  // A machine shared with others may be slowed down by anything, in either of the two.
  if (best.peak_bf16) {
    EXPECT_GT(ratio, 1.3);
  } else {
    EXPECT_LT(ratio, 1.7);
  }
}

TEST(Peak, FloatsStayNormalHoweverLongItRuns) {
  for (const std::string& isa : available_isas()) {
    const cpu::Kernels& kernels = select_kernels(isa);
    float sink[16] = {};
    kernels.peak_float(1, sink);
    const float first = sink[0];
    EXPECT_GT(first, 0.5f) << isa;
    for (int i = 0; i < 16; ++i) sink[i] = 0;
    kernels.peak_float(100'000, sink);
    // Each chain is at its fixed point, 1; one iteration is on its way there.
    EXPECT_GE(sink[0], first) << isa;
    EXPECT_EQ(sink[0], std::round(sink[0])) << isa;
    EXPECT_EQ(sink[15], sink[0]) << isa;
  }
}

TEST(Peak, MeasuresMoreThanAFewOperationsAndFasterSetsAreFaster) {
  const std::vector<std::string> isas = available_isas();
  const double best = measure_peak(select_kernels(isas.front()), 1, Arithmetic::f32);
  const double scalar = measure_peak(select_kernels("scalar"), 1, Arithmetic::f32);
  EXPECT_GT(scalar, 1e8);
  if (isas.size() > 1) {
    EXPECT_GT(best, scalar);
  }
  EXPECT_GT(measure_peak(select_kernels(isas.front()), 1, Arithmetic::int8), 1e8);
  // Threads add up, even where others use the cores as well.
  EXPECT_GT(measure_peak(select_kernels("scalar"), 2, Arithmetic::f32), 1.1 * scalar);
}

}  // namespace
}  // namespace krait
