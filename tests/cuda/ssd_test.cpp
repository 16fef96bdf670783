// The Mamba-2 scan against the reference, over every path of its states, and the same bits however
// sequences are cut and packed.
#include <limits>

#include "tests/cuda/support.h"

namespace krait::cuda {
namespace {

using test::plane, test::SsdData, test::SsdSizes;

// Runs the calls, each a list of segments, over `slots` copies of the state.
Result run(const SsdData& s, const std::vector<std::vector<Segment>>& calls, int64_t slots = 1,
           bool in_place = true) {
  const std::vector<float> start = plane(s.state, s.size);
  Result result;
  for (int64_t slot = 0; slot < slots; ++slot)
    result.states.insert(result.states.end(), start.begin(), start.end());
  const int64_t inner = s.size.heads * s.size.head_dim, bc = s.size.groups * s.size.states;
  TestRows x(s.x, s.tokens, inner, 3, 1), dt(s.dt, s.tokens, s.size.heads, 1, 2),
      b(s.b, s.tokens, bc, 5), c(s.c, s.tokens, bc, 0, 1), apart({}, s.tokens, inner, 1);
  TestRows& out = in_place ? x : apart;
  for (const std::vector<Segment>& list : calls) {
    const Ssd ssd{s.a.data(),
                  s.d.data(),
                  s.dt_bias.data(),
                  s.dt_min,
                  s.dt_max,
                  static_cast<int32_t>(s.size.heads),
                  static_cast<int32_t>(s.size.groups),
                  static_cast<int32_t>(s.size.states),
                  static_cast<int32_t>(s.size.head_dim),
                  segments_of(list),
                  {result.states.data(), static_cast<int64_t>(start.size())},
                  x.view,
                  dt.view,
                  b.view,
                  c.view,
                  out.view};
    ssd_scan(nullptr, ssd);
  }
  EXPECT_TRUE(out.gaps_untouched());
  result.y = out.values();
  return result;
}

class SsdTest : public KernelTest {};

constexpr SsdSizes kSizes[] = {{1, 1, 1, 1},    {4, 16, 2, 16},  {3, 5, 1, 7},    {6, 17, 3, 33},
                               {2, 64, 1, 12},  {2, 48, 2, 5},   {1, 108, 1, 9},  {5, 31, 5, 3},
                               {8, 8, 4, 20},   {2, 80, 1, 40},  {3, 64, 1, 128}, {2, 33, 1, 127},
                               {2, 30, 2, 256}, {2, 34, 1, 250}, {1, 7, 1, 300}};

TEST_F(SsdTest, MatchesTheReferenceAndSplitsAnywhere) {
  for (const SsdSizes& size : kSizes) {
    SCOPED_TRACE(testing::Message() << size.heads << " heads of " << size.head_dim << ", "
                                    << size.groups << " groups of " << size.states << " states");
    // More than the tokens whose steps are found at once, where that is not too slow.
    const int64_t tokens = size.heads * size.states < 100 ? 75 : 27;
    const SsdData s(size, tokens, static_cast<uint64_t>(size.head_dim));
    auto exact_state = doubles(s.state);
    const auto exact = reference::ssd_scan(s.input(), exact_state);
    const Result whole = run(s, pieces_of(s.tokens, s.tokens));
    EXPECT_LE(relative_error(whole.y, exact), 3e-6);
    EXPECT_LE(relative_error(whole.states, plane(exact_state, size)), 2e-6);
    for (const int64_t piece : {1, 2, 3, 7, 8, 9, 16, 26, 40}) {
      use_seed(piece);
      EXPECT_EQ(run(s, pieces_of(s.tokens, piece)), whole) << "pieces of " << piece;
    }
    EXPECT_EQ(run(s, pieces_of(s.tokens, s.tokens), 1, false), whole) << "not in place";
  }
}

TEST_F(SsdTest, StepSizeIsSoftplusOnceThenLimited) {
  SsdData s({4, 20, 2, 6}, 5, 9);
  s.dt_bias = {100.0f, -30.0f, 0.0f, 24.0f};
  for (const auto& [low, high] : {std::pair{0.0f, std::numeric_limits<float>::infinity()},
                                  {0.01f, 0.1f},
                                  {0.5f, 0.5f},
                                  {0.0f, 50.0f}}) {
    s.dt_min = low;
    s.dt_max = high;
    auto exact_state = doubles(s.state);
    const auto exact = reference::ssd_scan(s.input(), exact_state);
    for (const int64_t piece : {1, 5}) {
      const Result found = run(s, pieces_of(5, piece));
      EXPECT_LE(relative_error(found.y, exact), 3e-6) << low << " " << high;
      EXPECT_LE(relative_error(found.states, plane(exact_state, s.size)), 3e-6);
    }
  }
}

TEST_F(SsdTest, FastDecayForgetsWithoutNan) {
  SsdData s({2, 16, 1, 8}, 6, 4);
  s.a = {-16.0f, -3e38f};
  for (const float bias : {50.0f, -200.0f}) {  // a step of 50, or of 0
    s.dt_bias = {bias, bias};
    const Result result = run(s, pieces_of(6, 6));
    for (const float y : result.y) EXPECT_TRUE(std::isfinite(y));
    if (bias < 0) {
      EXPECT_EQ(result.states, plane(s.state, s.size)) << "no step, no change";
    }
  }
}

TEST_F(SsdTest, SegmentsOfOneStepAreIndependentSequences) {
  for (const int64_t states : {16, 128, 257}) {
    const std::vector<Segment> parts = packed({20, 1, 6, 8, 1, 9});
    const SsdData s({6, 24, 2, states}, 45, 77);
    const Result together = run(s, {parts}, 6);
    std::vector<std::vector<Segment>> alone;
    for (const Segment& part : parts) alone.push_back({part});
    EXPECT_EQ(run(s, alone, 6), together);
    EXPECT_EQ(run(s, {{parts[5], parts[2]}, {parts[0], parts[1], parts[4], parts[3]}}, 6),
              together);
    std::vector<Segment> heads, rests;
    for (const Segment& part : parts) {
      heads.push_back({part.slot, part.begin, 1});
      if (part.length > 1) rests.push_back({part.slot, part.begin + 1, part.length - 1});
    }
    use_seed(9);
    EXPECT_EQ(run(s, {heads, rests}, 6), together);
  }
}

}  // namespace
}  // namespace krait::cuda
