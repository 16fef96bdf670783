// The Mamba-1 scan against the reference, over every path of its states, and the same bits however
// sequences are cut and packed and whatever the result is written over.
#include <cstring>

#include "tests/cuda/support.h"

namespace krait::cuda {
namespace {

using test::ScanData;

enum class Over { x, dt, z, nothing };

// Runs the calls, each a list of segments, over `slots` copies of the state.
Result run(const ScanData& s, const std::vector<std::vector<Segment>>& calls, int64_t slots = 1,
           Over over = Over::x) {
  const auto a = transpose(s.a, s.d_inner, s.d_state);
  const auto start = transpose(s.state, s.d_inner, s.d_state);
  Result result;
  for (int64_t slot = 0; slot < slots; ++slot)
    result.states.insert(result.states.end(), start.begin(), start.end());
  TestRows x(s.x, s.tokens, s.d_inner, 3, 1), dt(s.dt, s.tokens, s.d_inner, 1),
      z(s.z, s.tokens, s.d_inner, 2), b(s.b, s.tokens, s.d_state, 5),
      c(s.c, s.tokens, s.d_state, 0, 1), apart({}, s.tokens, s.d_inner, 1);
  TestRows& out = over == Over::x ? x : over == Over::dt ? dt : over == Over::z ? z : apart;
  for (const std::vector<Segment>& list : calls) {
    const Scan scan{a.data(),
                    s.d.data(),
                    s.dt_bias.data(),
                    static_cast<int32_t>(s.d_state),
                    static_cast<int32_t>(s.d_inner),
                    segments_of(list),
                    {result.states.data(), static_cast<int64_t>(start.size())},
                    x.view,
                    dt.view,
                    b.view,
                    c.view,
                    z.view,
                    out.view};
    selective_scan(nullptr, scan);
  }
  EXPECT_TRUE(out.gaps_untouched());
  result.y = out.values();
  return result;
}

class ScanTest : public KernelTest {};

TEST_F(ScanTest, SoftplusAndSiluAreWithinAFewUlp) {
  for (float x = -87.0f; x < 90.0f; x += 0.0137f) {
    const double soft = reference::softplus(x), gated = reference::silu(x);
    EXPECT_NEAR(softplus(x), soft, 4e-7 * soft) << x;
    EXPECT_NEAR(silu(x), gated, 4e-7 * std::fabs(gated)) << x;
  }
  EXPECT_EQ(softplus(20.5f), 20.5f);
  EXPECT_EQ(softplus(-200.0f), 0.0f);
  EXPECT_EQ(softplus(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(softplus(NAN)));
  EXPECT_EQ(silu(-200.0f), 0.0f);
}

TEST_F(ScanTest, MatchesTheReferenceAndSplitsAnywhere) {
  const int64_t sizes[][2] = {{16, 16}, {8, 3},  {50, 16}, {33, 1},  {20, 17}, {40, 24},
                              {100, 5}, {7, 32}, {35, 64}, {9, 63},  {5, 65},  {33, 100},
                              {2, 777}, {32, 4}, {64, 2},  {31, 40}, {1, 16}};
  for (const auto& [d_inner, d_state] : sizes) {
    SCOPED_TRACE(testing::Message() << "d_inner " << d_inner << ", d_state " << d_state);
    const ScanData s(d_inner, d_state, 37, static_cast<uint64_t>(d_inner));
    auto exact_state = doubles(s.state);
    const auto exact = reference::selective_scan(s.input(), exact_state);
    const Result whole = run(s, pieces_of(s.tokens, s.tokens));
    EXPECT_LE(relative_error(whole.y, exact), 2e-6);
    EXPECT_LE(relative_error(whole.states, transpose(exact_state, d_inner, d_state)), 2e-6);
    for (const int64_t piece : {1, 2, 7, 15, 16, 17, 32, 36}) {
      use_seed(piece);
      EXPECT_EQ(run(s, pieces_of(s.tokens, piece)), whole) << "pieces of " << piece;
    }
  }
}

TEST_F(ScanTest, TheResultMayLieOverXOrDtOrZ) {
  for (const int64_t d_state : {16, 70})
    for (const int64_t piece : {1, 40}) {
      const ScanData s(45, d_state, 40, 5);
      const Result apart = run(s, pieces_of(40, piece), 1, Over::nothing);
      for (const Over over : {Over::x, Over::dt, Over::z})
        for (const uint64_t seed : {1, 2, 3}) {
          use_seed(seed);
          EXPECT_EQ(run(s, pieces_of(40, piece), 1, over), apart) << static_cast<int>(over);
        }
    }
}

TEST_F(ScanTest, FastDecayForgetsWithoutNan) {
  for (const float decay : {-16.0f, -3e38f}) {   // exp(-16 * 50) is 0; dt A may be -infinity
    for (const float bias : {50.0f, -200.0f}) {  // a step of 50, or of 0
      ScanData s(16, 16, 4, 1);
      s.a.assign(s.a.size(), decay);
      s.dt_bias.assign(s.dt_bias.size(), bias);
      for (const int64_t piece : {1, 4}) {
        const Result result = run(s, pieces_of(4, piece));
        for (const float y : result.y) EXPECT_TRUE(std::isfinite(y)) << decay;
        if (bias < 0) {
          EXPECT_EQ(result.states, transpose(s.state, 16, 16)) << "no step, no change";
        }
      }
    }
  }
}

TEST_F(ScanTest, SegmentsOfOneStepAreIndependentSequences) {
  for (const int64_t d_state : {16, 20, 66}) {
    const std::vector<Segment> parts = packed({20, 1, 16, 33, 1, 2, 17});
    const ScanData s(40, d_state, 90, 77);
    const Result together = run(s, {parts}, 7);
    std::vector<std::vector<Segment>> alone;
    for (const Segment& part : parts) alone.push_back({part});
    EXPECT_EQ(run(s, alone, 7), together);
    EXPECT_EQ(run(s, {{parts[6], parts[1], parts[3]}, {parts[0], parts[5], parts[4], parts[2]}}, 7),
              together);
    std::vector<Segment> heads, rests;
    for (const Segment& part : parts) {
      heads.push_back({part.slot, part.begin, 1});
      if (part.length > 1) rests.push_back({part.slot, part.begin + 1, part.length - 1});
    }
    use_seed(9);
    EXPECT_EQ(run(s, {heads, rests}, 7), together);
  }
}

}  // namespace
}  // namespace krait::cuda
