// The S4D scan against its double-precision recurrence, and the same bits however a sequence is
// cut, padded in memory, or split over threads.
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/reference/reference.h"
#include "tests/backend/support.h"
#include "tests/kernels/scan_data.h"

namespace krait {
namespace {

using test::doubles, test::Random, test::TestRows;

struct S4dData {
  int64_t d_inner, pairs, tokens;
  std::vector<float> decay, c, d, state, x, z;  // [d_inner, pairs, 2], as the reference has them

  S4dData(int64_t inner, int64_t modes, int64_t count, uint64_t seed)
      : d_inner(inner), pairs(modes), tokens(count) {
    Random random(seed);
    for (int64_t i = 0; i < inner * modes; ++i) {
      const float radius = random(0.3f, 0.9999f), angle = random(-3, 3);
      decay.push_back(radius * std::cos(angle));
      decay.push_back(radius * std::sin(angle));
    }
    c = random.values(2 * inner * modes);
    d = random.values(inner);
    state = random.values(2 * inner * modes);
    x = random.values(count * inner, -2, 2);
    z = random.values(count * inner, -4, 4);
  }
  reference::S4dInput input() const {
    return {doubles(decay), doubles(c), doubles(d), doubles(x), doubles(z), d_inner, pairs};
  }
};

// [d_inner, pairs, 2] -> the plane [2 * pairs, d_inner], real parts before imaginary ones.
template <class T>
std::vector<T> plane(const std::vector<T>& from, const S4dData& s) {
  std::vector<T> to(from.size());
  for (int64_t channel = 0; channel < s.d_inner; ++channel)
    for (int64_t p = 0; p < s.pairs; ++p)
      for (int64_t part = 0; part < 2; ++part)
        to[(part * s.pairs + p) * s.d_inner + channel] = from[2 * (channel * s.pairs + p) + part];
  return to;
}

struct Result {
  std::vector<float> y, states;
  bool operator==(const Result&) const = default;
};

// Runs the calls, each a list of segments, over `slots` copies of the state, writing over x or z.
Result run(Backend& backend, const S4dData& s, const std::vector<std::vector<Segment>>& calls,
           int64_t slots = 1, bool over_z = false) {
  const auto decay = backend.vector(plane(s.decay, s)), c = backend.vector(plane(s.c, s)),
             d = backend.vector(s.d);
  const S4dWeights w{decay.get(), c.get(), d.get(), static_cast<int32_t>(s.pairs)};
  const std::vector<float> start = plane(s.state, s);
  std::vector<float> starts;
  for (int64_t slot = 0; slot < slots; ++slot)
    starts.insert(starts.end(), start.begin(), start.end());
  const test::TestFloats states(backend, starts);
  TestRows x(backend, s.x, s.tokens, s.d_inner, 3, 1), z(backend, s.z, s.tokens, s.d_inner, 2);
  const TestRows& out = over_z ? z : x;
  for (const std::vector<Segment>& segments : calls)
    backend.s4d_scan(w, segments, {states.data(), std::ssize(start)}, x.view, z.view, out.view);
  EXPECT_TRUE(out.gaps_untouched());
  return {out.values(), states.values()};
}

// One sequence in pieces of `piece` tokens.
Result run_pieces(Backend& backend, const S4dData& s, int64_t piece, bool over_z = false) {
  std::vector<std::vector<Segment>> calls;
  for (int64_t t = 0; t < s.tokens; t += piece)
    calls.push_back(
        {{0, static_cast<int32_t>(t), static_cast<int32_t>(std::min(piece, s.tokens - t))}});
  return run(backend, s, calls, 1, over_z);
}

class S4dTest : public testing::TestWithParam<test::Device> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam()(2);
};

TEST_P(S4dTest, MatchesTheReferenceAndSplitsAnywhere) {
  const int64_t sizes[][2] = {{1, 1}, {16, 8}, {8, 3}, {50, 8}, {33, 1}, {20, 17}, {128, 8}};
  for (const auto& [d_inner, pairs] : sizes) {
    SCOPED_TRACE(testing::Message() << d_inner << " channels of " << pairs << " modes");
    const S4dData s(d_inner, pairs, 23, static_cast<uint64_t>(d_inner));
    auto exact_state = doubles(s.state);
    const auto exact = reference::s4d_scan(s.input(), exact_state);
    const Result whole = run_pieces(*backend_, s, s.tokens);
    EXPECT_LE(test::relative_error(whole.y, exact), 3e-6);
    EXPECT_LE(test::relative_error(whole.states, plane(exact_state, s)), 3e-6);
    for (const int64_t piece : {1, 2, 7})
      EXPECT_EQ(run_pieces(*backend_, s, piece), whole) << "pieces of " << piece;
    EXPECT_EQ(run_pieces(*backend_, s, s.tokens, true), whole) << "in the place of z";
  }
}

TEST_P(S4dTest, BitsDoNotDependOnThreads) {
  const S4dData s(300, 8, 40, 3);
  const Result one = run_pieces(*GetParam()(1), s, 40);
  for (const int threads : {2, 3, 8})
    EXPECT_EQ(run_pieces(*GetParam()(threads), s, 40), one) << threads;
}

TEST_P(S4dTest, SegmentsOfOneStepAreIndependentSequences) {
  const S4dData s(40, 8, 27, 77);
  const std::vector<Segment> parts = {{2, 0, 20}, {0, 20, 1}, {1, 21, 6}};
  const Result together = run(*backend_, s, {parts}, 3);
  EXPECT_EQ(run(*backend_, s, {{parts[0]}, {parts[1]}, {parts[2]}}, 3), together);
  EXPECT_EQ(run(*backend_, s, {{parts[2]}, {parts[0], parts[1]}}, 3), together);
}

INSTANTIATE_TEST_SUITE_P(Device, S4dTest, testing::ValuesIn(test::devices()),
                         [](const auto& suite) { return suite.param.name; });

}  // namespace
}  // namespace krait
