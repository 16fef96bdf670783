// Norm, convolution and selective scan against the double-precision reference, and step = prefill.
#include <cstring>

#include <gtest/gtest.h>

#include "kernels/reference/reference.h"
#include "tests/backend/support.h"
#include "tests/kernels/scan_data.h"

namespace krait {
namespace {

using test::doubles, test::Random, test::ScanData, test::TestRows, test::transpose;

class MixerOpsTest : public testing::TestWithParam<test::Device> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam()(2);
};

TEST_P(MixerOpsTest, RmsNormMatchesTheReference) {
  for (const int64_t cols : {1, 7, 16, 31, 32, 33, 100, 768}) {
    Random random(cols);
    const std::vector<float> x = random.values(5 * cols, -3, 3), weight = random.values(cols);
    const auto vector = backend_->vector(weight);
    TestRows in(*backend_, x, 5, cols, 2, 1), out(*backend_, {}, 5, cols, 1);
    backend_->rms_norm(in.view, vector.get(), 1, 1e-5f, out.view);
    EXPECT_LE(test::relative_error(out.values(),
                                   reference::rms_norm(doubles(x), doubles(weight), 1e-5, cols)),
              1e-6);
    EXPECT_TRUE(out.gaps_untouched());
  }
}

TEST_P(MixerOpsTest, RmsNormOfZerosIsZeroAndEpsilonIsInsideTheRoot) {
  const auto ones = backend_->vector(std::vector<float>(8, 1.0f));
  TestRows zeros(*backend_, std::vector<float>(8, 0.0f), 1, 8),
      small(*backend_, std::vector<float>(8, 1e-4f), 1, 8);
  TestRows out(*backend_, {}, 1, 8);
  backend_->rms_norm(zeros.view, ones.get(), 1, 1e-5f, out.view);
  EXPECT_EQ(out.values(), std::vector<float>(8, 0.0f));
  backend_->rms_norm(small.view, ones.get(), 1, 1e-5f, out.view);
  EXPECT_NEAR(out.values()[0], 1e-4 / std::sqrt(1e-8 + 1e-5), 1e-7);
}

// Zeros would look like an output.
TEST_P(MixerOpsTest, RmsNormIsNotANumberWhereTheSquaresOverflow) {
  for (const float large : {1e20f, INFINITY, NAN}) {
    std::vector<float> x(70, 0.5f);
    x[66] = large;
    TestRows in(*backend_, x, 1, 70), out(*backend_, {}, 1, 70);
    backend_->rms_norm(in.view, nullptr, 1, 1e-5f, out.view);
    for (const float y : out.values()) EXPECT_TRUE(std::isnan(y)) << large;
  }
}

TEST_P(MixerOpsTest, RmsNormWithoutWeightOfAColumnWindowInPlace) {
  for (const int64_t cols : {1, 5, 16, 29, 48}) {
    Random random(cols);
    const std::vector<float> x = random.values(4 * cols, -3, 3);
    TestRows rows(*backend_, x, 4, cols, 3, 2);
    backend_->rms_norm(rows.view, nullptr, 1, 1e-3f, rows.view);
    EXPECT_LE(test::relative_error(rows.values(), reference::rms_norm(doubles(x), {}, 1e-3, cols)),
              1e-6);
    EXPECT_TRUE(rows.gaps_untouched());
  }
}

// A group is a row of its own, with its part of the weight: 2000 columns are split over threads.
TEST_P(MixerOpsTest, RmsNormInGroupsNormalisesEachSlice) {
  const int64_t sizes[][2] = {{1, 7}, {2, 5}, {3, 16}, {8, 33}, {4, 2000}};
  for (const auto& [groups, size] : sizes) {
    constexpr int64_t kTokens = 3;
    Random random(groups * size);
    const auto weight = random.values(groups * size);
    auto x = random.values(kTokens * groups * size, -3, 3);
    for (int64_t i = 0; i < size; ++i) x[i] *= 100;  // the first group is louder
    const auto vector = backend_->vector(weight);
    TestRows rows(*backend_, x, kTokens, groups * size, 1, 1);
    backend_->rms_norm(rows.view, vector.get(), static_cast<int32_t>(groups), 1e-5f, rows.view);
    std::vector<double> exact = reference::rms_norm(doubles(x), {}, 1e-5, size);
    for (size_t i = 0; i < exact.size(); ++i) exact[i] *= weight[i % weight.size()];
    EXPECT_LE(test::relative_error(rows.values(), exact), 1e-6) << groups << " of " << size;
    EXPECT_TRUE(rows.gaps_untouched());
  }
}

TEST_P(MixerOpsTest, GateMatchesTheReferenceInPlace) {
  for (const int64_t cols : {1, 15, 16, 17, 50, 3001}) {
    Random random(cols);
    const auto x = random.values(3 * cols, -2, 2);
    auto z = random.values(3 * cols, -8, 8);
    z[0] = -200.0f;  // exp overflows
    TestRows rows(*backend_, x, 3, cols, 1), gates(*backend_, z, 3, cols, 2, 1);
    backend_->gate(rows.view, gates.view, rows.view);
    EXPECT_LE(test::relative_error(rows.values(), reference::gate(doubles(x), doubles(z))), 1e-6);
    EXPECT_TRUE(rows.gaps_untouched());
  }
}

struct ConvCase {
  int64_t channels, d_conv;
  bool bias;
};

TEST_P(MixerOpsTest, ConvolutionMatchesTheReferenceAndSplitsAnywhere) {
  constexpr int64_t kTokens = 11;
  const ConvCase cases[] = {{8, 4, true},   {16, 4, false}, {37, 3, true}, {50, 2, true},
                            {20, 1, false}, {33, 5, true},  {17, 64, true}};
  for (const ConvCase& c : cases) {
    SCOPED_TRACE(testing::Message() << c.channels << " channels, d_conv " << c.d_conv);
    Random random(c.channels);
    const auto taps = random.values(c.channels * c.d_conv), bias = random.values(c.channels),
               past = random.values(c.channels * (c.d_conv - 1)),
               x = random.values(kTokens * c.channels);
    auto exact_state = doubles(past);
    const auto exact = reference::causal_conv(doubles(taps), c.bias ? doubles(bias) : doubles({}),
                                              exact_state, doubles(x), c.channels, c.d_conv);
    const auto taps_vector = backend_->vector(transpose(taps, c.channels, c.d_conv));
    const auto bias_vector = backend_->vector(bias);
    const ConvWeights w{taps_vector.get(), c.bias ? bias_vector.get() : nullptr,
                        static_cast<int32_t>(c.d_conv)};
    std::vector<float> whole;
    for (int32_t split = 0; split < kTokens; ++split) {  // two calls: [0, split) and the rest
      test::TestFloats state(*backend_, transpose(past, c.channels, c.d_conv - 1));
      TestRows rows(*backend_, x, kTokens, c.channels, 2);  // in place
      for (const Segment& part :
           {Segment{0, 0, split}, Segment{0, split, static_cast<int32_t>(kTokens) - split}})
        if (part.length > 0)
          backend_->causal_conv(w, {&part, 1}, {state.data(), 0}, rows.view, rows.view);
      EXPECT_LE(test::relative_error(rows.values(), exact), 1e-6);
      const auto exact_planes = transpose(exact_state, c.channels, c.d_conv - 1);
      EXPECT_LE(test::relative_error(state.values(), exact_planes), 1e-7);
      if (whole.empty()) whole = rows.values();
      EXPECT_EQ(std::memcmp(whole.data(), rows.values().data(), whole.size() * 4), 0)
          << "split at " << split;
    }
  }
}

// Runs the scan in pieces of `piece` tokens, writing over x; returns y and leaves the final state.
std::vector<float> run_scan(Backend& backend, const ScanData& s, int64_t piece,
                            std::vector<float>& state) {
  const auto a = backend.vector(transpose(s.a, s.d_inner, s.d_state));
  const auto d = backend.vector(s.d), dt_bias = backend.vector(s.dt_bias);
  const ScanWeights w{a.get(), d.get(), dt_bias.get(), static_cast<int32_t>(s.d_state)};
  const test::TestFloats plane(backend, transpose(s.state, s.d_inner, s.d_state));
  TestRows x(backend, s.x, s.tokens, s.d_inner, 3, 1), dt(backend, s.dt, s.tokens, s.d_inner, 1),
      z(backend, s.z, s.tokens, s.d_inner, 2), b(backend, s.b, s.tokens, s.d_state, 5),
      c(backend, s.c, s.tokens, s.d_state);
  for (int64_t t = 0; t < s.tokens; t += piece) {
    const Segment part{0, static_cast<int32_t>(t),
                       static_cast<int32_t>(std::min(piece, s.tokens - t))};
    backend.selective_scan(w, {&part, 1}, {plane.data(), 0}, x.view, dt.view, b.view, c.view,
                           z.view, x.view);
  }
  EXPECT_TRUE(x.gaps_untouched());
  state = plane.values();
  return x.values();
}

TEST_P(MixerOpsTest, ScanMatchesTheReferenceAndSplitsAnywhere) {
  const int64_t sizes[][2] = {{16, 16}, {8, 3}, {50, 16}, {33, 1}, {20, 17}, {40, 24}, {100, 5}};
  for (const auto& [d_inner, d_state] : sizes) {
    SCOPED_TRACE(testing::Message() << "d_inner " << d_inner << ", d_state " << d_state);
    const ScanData s(d_inner, d_state, 23, static_cast<uint64_t>(d_inner));
    auto exact_state = doubles(s.state);
    const auto exact = reference::selective_scan(s.input(), exact_state);
    std::vector<float> state, other_state;
    const std::vector<float> y = run_scan(*backend_, s, s.tokens, state);
    EXPECT_LE(test::relative_error(y, exact), 2e-6);
    EXPECT_LE(test::relative_error(state, transpose(exact_state, d_inner, d_state)), 2e-6);
    for (const int64_t piece : {1, 2, 7}) {
      EXPECT_EQ(run_scan(*backend_, s, piece, other_state), y) << "pieces of " << piece;
      EXPECT_EQ(other_state, state);
    }
  }
}

TEST_P(MixerOpsTest, ScanWithFastDecayForgetsWithoutNan) {
  for (const float decay : {-16.0f, -3e38f}) {  // exp(-16 * 50) is 0; dt A may be -infinity
    ScanData s(16, 16, 4, 1);
    s.a.assign(s.a.size(), decay);
    s.dt_bias.assign(s.dt_bias.size(), 50.0f);
    std::vector<float> state;
    for (const float y : run_scan(*backend_, s, 4, state)) EXPECT_TRUE(std::isfinite(y)) << decay;
  }
}

TEST_P(MixerOpsTest, SegmentsOfOneStepAreIndependentSequences) {
  constexpr int64_t kInner = 40, kState = 16;
  const ScanData s(kInner, kState, 9, 77);
  const auto a = backend_->vector(transpose(s.a, kInner, kState));
  const auto d = backend_->vector(s.d), dt_bias = backend_->vector(s.dt_bias);
  const ScanWeights w{a.get(), d.get(), dt_bias.get(), kState};
  const auto run = [&](std::vector<Segment> segments, test::TestFloats& states) {
    TestRows x(*backend_, s.x, 9, kInner), dt(*backend_, s.dt, 9, kInner),
        z(*backend_, s.z, 9, kInner), b(*backend_, s.b, 9, kState), c(*backend_, s.c, 9, kState),
        y(*backend_, {}, 9, kInner);
    backend_->selective_scan(w, segments, {states.data(), kInner * kState}, x.view, dt.view, b.view,
                             c.view, z.view, y.view);
    return y.values();
  };
  const std::vector<float> zeros(3 * kInner * kState);
  test::TestFloats together(*backend_, zeros), alone(*backend_, zeros);
  const std::vector<float> y = run({{2, 0, 4}, {0, 4, 1}, {1, 5, 4}}, together);
  std::vector<float> pieces(y.size());
  for (const Segment& part : {Segment{2, 0, 4}, Segment{0, 4, 1}, Segment{1, 5, 4}}) {
    const std::vector<float> one = run({part}, alone);
    for (int64_t i = part.begin * kInner; i < (part.begin + part.length) * kInner; ++i)
      pieces[i] = one[i];
  }
  EXPECT_EQ(y, pieces);
  EXPECT_EQ(together.values(), alone.values());
}

INSTANTIATE_TEST_SUITE_P(Device, MixerOpsTest, testing::ValuesIn(test::devices()),
                         [](const auto& suite) { return suite.param.name; });

}  // namespace
}  // namespace krait
