// RMSNorm and the gate against the reference; the same bits wherever a row lies and with whatever
// others, and in a kernel that takes the sum for itself.
#include "kernels/cuda/norm.h"

#include "tests/cuda/support.h"

namespace krait::cuda {
namespace {

class NormTest : public KernelTest {};

TEST_F(NormTest, MatchesTheReference) {
  for (const int32_t cols : {1, 3, 4, 7, 33, 127, 128, 129, 768, 1023, 1026, 10240}) {
    Random random(cols);
    const auto x = random.values(5 * cols, -3, 3), weight = random.values(cols);
    TestRows in(x, 5, cols, 2, 1), out({}, 5, cols, 1);
    rms_norm(nullptr, in.view, weight.data(), 1, 1e-5f, 5, cols, out.view);
    EXPECT_LE(
        relative_error(out.values(), reference::rms_norm(doubles(x), doubles(weight), 1e-5, cols)),
        1e-6)
        << cols;
    EXPECT_TRUE(out.gaps_untouched());
  }
}

TEST_F(NormTest, GroupsWithoutWeightInPlace) {
  const int32_t sizes[][2] = {{1, 7}, {2, 5}, {3, 16}, {8, 33}, {9, 128}, {4, 2001}};
  for (const auto& [groups, size] : sizes) {
    Random random(groups * size);
    auto x = random.values(3 * groups * size, -3, 3);
    for (int64_t i = 0; i < size; ++i) x[i] *= 100;  // the first group is louder
    TestRows rows(x, 3, groups * size, 1, 1);
    rms_norm(nullptr, rows.view, nullptr, groups, 1e-3f, 3, groups * size, rows.view);
    EXPECT_LE(relative_error(rows.values(), reference::rms_norm(doubles(x), {}, 1e-3, size)), 1e-6)
        << groups << " of " << size;
    EXPECT_TRUE(rows.gaps_untouched());
  }
}

TEST_F(NormTest, WeightIsThatOfTheColumnInItsGroup) {
  constexpr int32_t kGroups = 3, kSize = 150;
  Random random(4);
  const auto x = random.values(kGroups * kSize), weight = random.values(kGroups * kSize);
  TestRows rows(x, 1, kGroups * kSize);
  rms_norm(nullptr, rows.view, weight.data(), kGroups, 1e-5f, 1, kGroups * kSize, rows.view);
  auto exact = reference::rms_norm(doubles(x), {}, 1e-5, kSize);
  for (size_t i = 0; i < exact.size(); ++i) exact[i] *= weight[i];
  EXPECT_LE(relative_error(rows.values(), exact), 1e-6);
}

TEST_F(NormTest, ZerosStayZeroAndEpsilonIsInsideTheRoot) {
  TestRows zeros(std::vector<float>(8, 0.0f), 1, 8), small(std::vector<float>(8, 1e-4f), 1, 8);
  rms_norm(nullptr, zeros.view, nullptr, 1, 1e-5f, 1, 8, zeros.view);
  EXPECT_EQ(zeros.values(), std::vector<float>(8, 0.0f));
  rms_norm(nullptr, small.view, nullptr, 1, 1e-5f, 1, 8, small.view);
  EXPECT_NEAR(small.values()[0], 1e-4 / std::sqrt(1e-8 + 1e-5), 1e-7);
}

// What a fused kernel does: one block, the sum for itself.
struct NormOfOneRow {
  static constexpr int kThreads = kNormThreads;
  static constexpr int kMinBlocks = 1;
  const float* row;
  int32_t cols;
  float* out;
  void operator()() const {
    wait_for_predecessor();
    auto* shared = reinterpret_cast<float*>(shared_memory());
    const float scale = norm_scale(sum_of_squares(row, cols, shared), cols, 1e-5f);
    for (int i = thread_index(); i < cols; i += thread_count()) out[i] = row[i] * scale;
  }
};

TEST_F(NormTest, SameBitsAloneTogetherAtAnyAddressAndFused) {
  for (const int32_t cols : {5, 96, 128, 129, 1536, 2050}) {
    Random random(cols);
    const auto x = random.values(11 * cols, -2, 2);
    TestRows together(x, 11, cols, 3);
    rms_norm(nullptr, together.view, nullptr, 1, 1e-5f, 11, cols, together.view);
    const auto all = together.values();
    for (int64_t r = 0; r < 11; ++r) {
      use_seed(r);
      const std::vector<float> row(x.begin() + r * cols, x.begin() + (r + 1) * cols);
      const std::vector<float> expected(all.begin() + r * cols, all.begin() + (r + 1) * cols);
      TestRows alone(row, 1, cols, 0, r % 4);
      rms_norm(nullptr, alone.view, nullptr, 1, 1e-5f, 1, cols, alone.view);
      EXPECT_EQ(alone.values(), expected) << "row " << r << " of " << cols;
      std::vector<float> fused(cols);
      launch(nullptr, {1, 1, kNormThreads, kNormWarps * sizeof(float)},
             NormOfOneRow{row.data(), cols, fused.data()});
      EXPECT_EQ(fused, expected) << "fused, row " << r << " of " << cols;
    }
  }
}

class GateTest : public KernelTest {};

TEST_F(GateTest, MatchesTheReferenceOverEitherInput) {
  for (const int32_t cols : {1, 15, 16, 17, 512, 513, 3001}) {
    Random random(cols);
    const auto x = random.values(3 * cols, -2, 2);
    auto z = random.values(3 * cols, -8, 8);
    z[0] = -200.0f;  // exp overflows
    const auto exact = reference::gate(doubles(x), doubles(z));
    for (const bool over_x : {true, false}) {
      TestRows rows(x, 3, cols, 1), gates(z, 3, cols, 2, 1);
      TestRows& out = over_x ? rows : gates;
      gate(nullptr, rows.view, gates.view, 3, cols, out.view);
      EXPECT_LE(relative_error(out.values(), exact), 1e-6) << cols;
      EXPECT_TRUE(out.gaps_untouched());
    }
  }
}

}  // namespace
}  // namespace krait::cuda
