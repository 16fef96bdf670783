#include "src/sampling/philox.h"

#include <array>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "krait/sampler.h"

namespace krait {
namespace {

using Words4 = std::array<uint32_t, 4>;

// The known-answer vectors published with Random123 (tests/kat_vectors, philox4x32 10).
TEST(Philox, GivesThePublishedKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Words4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (Words4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Words4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Uniform, IsTheTop53BitsOfTheFirstTwoWords) {
  const uint64_t bits = 0xe169c58d6627e8d5ull >> 11;
  EXPECT_EQ(uniform_at(0, 0, 0), static_cast<double>(bits) * 0x1p-53);
}

TEST(Uniform, DependsOnEveryBitOfSeedSequenceAndPosition) {
  const double base = uniform_at(1, 2, 3);
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t flip = uint64_t{1} << bit;
    EXPECT_NE(uniform_at(1 ^ flip, 2, 3), base) << bit;
    EXPECT_NE(uniform_at(1, 2 ^ flip, 3), base) << bit;
    EXPECT_NE(uniform_at(1, 2, 3 ^ flip), base) << bit;
  }
}

TEST(Uniform, FillsTheUnitIntervalEvenly) {
  constexpr int kBins = 100;
  constexpr int kDraws = 100'000;
  std::vector<int> bins(kBins);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = uniform_at(42, 7, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++bins[static_cast<size_t>(u * kBins)];
  }
  double chi_square = 0;
  const double expected = static_cast<double>(kDraws) / kBins;
  for (const int n : bins) chi_square += (n - expected) * (n - expected) / expected;
  EXPECT_LT(chi_square, 148.2);  // 99 degrees of freedom, p = 0.001
  EXPECT_GT(chi_square, 60.0);   // too even would be wrong as well
}

}  // namespace
}  // namespace krait
