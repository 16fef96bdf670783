// The Mamba-2 scan against its double-precision recurrence, that against the matrix form, and the
// same bits however a sequence is cut, padded in memory, or split over threads.
#include <limits>

#include <gtest/gtest.h>

#include "kernels/reference/reference.h"
#include "tests/backend/support.h"
#include "tests/kernels/scan_data.h"

namespace krait {
namespace {

using test::doubles, test::plane, test::Random, test::SsdData, test::SsdSizes, test::TestRows;

struct Result {
  std::vector<float> y, states;
  bool operator==(const Result&) const = default;
};

// Runs the given calls in place over x, each a list of segments, over `slots` copies of the state.
Result run(Backend& backend, const SsdData& s, const std::vector<std::vector<Segment>>& calls,
           int64_t slots = 1) {
  const auto a = backend.vector(s.a), d = backend.vector(s.d), dt_bias = backend.vector(s.dt_bias);
  const SsdWeights w{a.get(),
                     d.get(),
                     dt_bias.get(),
                     s.dt_min,
                     s.dt_max,
                     static_cast<int32_t>(s.size.heads),
                     static_cast<int32_t>(s.size.groups),
                     static_cast<int32_t>(s.size.states)};
  Result result;
  const std::vector<float> start = plane(s.state, s.size);
  std::vector<float> starts;
  for (int64_t slot = 0; slot < slots; ++slot)
    starts.insert(starts.end(), start.begin(), start.end());
  const test::TestFloats states(backend, starts);
  const int64_t bc = s.size.groups * s.size.states;
  TestRows x(backend, s.x, s.tokens, s.size.heads * s.size.head_dim, 3, 1),
      dt(backend, s.dt, s.tokens, s.size.heads, 1, 2), b(backend, s.b, s.tokens, bc, 5),
      c(backend, s.c, s.tokens, bc, 0, 1);
  for (const std::vector<Segment>& segments : calls)
    backend.ssd_scan(w, segments, {states.data(), static_cast<int64_t>(start.size())}, x.view,
                     dt.view, b.view, c.view, x.view);
  EXPECT_TRUE(x.gaps_untouched());
  result.y = x.values();
  result.states = states.values();
  return result;
}

// One sequence in pieces of `piece` tokens.
Result run_pieces(Backend& backend, const SsdData& s, int64_t piece) {
  std::vector<std::vector<Segment>> calls;
  for (int64_t t = 0; t < s.tokens; t += piece)
    calls.push_back(
        {{0, static_cast<int32_t>(t), static_cast<int32_t>(std::min(piece, s.tokens - t))}});
  return run(backend, s, calls);
}

class SsdTest : public testing::TestWithParam<test::Device> {
 protected:
  std::unique_ptr<Backend> backend_ = GetParam()(2);
};

constexpr SsdSizes kSizes[] = {{1, 1, 1, 1},   {4, 16, 2, 16}, {3, 5, 1, 7},    {6, 17, 3, 33},
                               {2, 64, 1, 12}, {2, 48, 2, 5},  {1, 108, 1, 9},  {5, 31, 5, 3},
                               {8, 8, 4, 20},  {2, 80, 1, 40}, {24, 64, 1, 128}};

TEST_P(SsdTest, MatchesTheReferenceAndSplitsAnywhere) {
  for (const SsdSizes& size : kSizes) {
    SCOPED_TRACE(testing::Message() << size.heads << " heads of " << size.head_dim << ", "
                                    << size.groups << " groups of " << size.states << " states");
    const SsdData s(size, 39, static_cast<uint64_t>(size.head_dim));
    auto exact_state = doubles(s.state);
    const auto exact = reference::ssd_scan(s.input(), exact_state);
    const Result whole = run_pieces(*backend_, s, s.tokens);
    EXPECT_LE(test::relative_error(whole.y, exact), 3e-6);
    EXPECT_LE(test::relative_error(whole.states, plane(exact_state, size)), 2e-6);
    for (const int64_t piece : {1, 2, 3, 7, 16, 38})
      EXPECT_EQ(run_pieces(*backend_, s, piece), whole) << "pieces of " << piece;
  }
}

TEST_P(SsdTest, BitsDoNotDependOnThreads) {
  const SsdData s({7, 40, 7, 32}, 21, 3);
  const Result one = run_pieces(*GetParam()(1), s, 21);
  for (const int threads : {2, 3, 8})
    EXPECT_EQ(run_pieces(*GetParam()(threads), s, 21), one) << threads;
}

TEST_P(SsdTest, StepSizeIsSoftplusOnceThenLimited) {
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
    const Result found = run_pieces(*backend_, s, 5);
    EXPECT_LE(test::relative_error(found.y, exact), 3e-6) << low << " " << high;
    EXPECT_LE(test::relative_error(found.states, plane(exact_state, s.size)), 3e-6);
  }
}

TEST_P(SsdTest, FastDecayForgetsWithoutNan) {
  SsdData s({2, 16, 1, 8}, 6, 4);
  s.a = {-16.0f, -3e38f};
  s.dt_bias = {50.0f, 50.0f};
  for (const float y : run_pieces(*backend_, s, 6).y) EXPECT_TRUE(std::isfinite(y));
}

TEST_P(SsdTest, SegmentsOfOneStepAreIndependentSequences) {
  const SsdData s({6, 24, 2, 16}, 27, 77);
  const std::vector<Segment> parts = {{2, 0, 20}, {0, 20, 1}, {1, 21, 6}};
  const Result together = run(*backend_, s, {parts}, 3);
  EXPECT_EQ(run(*backend_, s, {{parts[0]}, {parts[1]}, {parts[2]}}, 3), together);
  EXPECT_EQ(run(*backend_, s, {{parts[2]}, {parts[0], parts[1]}}, 3), together);
}

INSTANTIATE_TEST_SUITE_P(Device, SsdTest, testing::ValuesIn(test::devices()),
                         [](const auto& suite) { return suite.param.name; });

double largest_difference(const reference::Array& a, const reference::Array& b) {
  double most = a.size() == b.size() ? 0.0 : 1e9;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i)
    most = std::max(most, std::fabs(a[i] - b[i]));
  return most;
}

TEST(SsdReferenceTest, RecurrenceAndMatrixFormAgree) {
  for (const SsdSizes& size : {SsdSizes{4, 3, 2, 5}, {1, 7, 1, 2}, {6, 2, 3, 4}}) {
    SsdData s(size, 19, 5);
    s.dt_max = 3.0f;
    auto state = doubles(s.state);
    const auto y = reference::ssd_scan(s.input(), state);
    for (const int64_t chunk : {1, 4, 18, 19, 64}) {
      auto matrix_state = doubles(s.state);
      EXPECT_LE(largest_difference(reference::ssd_matrix(s.input(), matrix_state, chunk), y), 1e-12)
          << "chunks of " << chunk;
      EXPECT_LE(largest_difference(matrix_state, state), 1e-12);
    }
  }
}

}  // namespace
}  // namespace krait
