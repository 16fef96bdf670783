// The causal convolution against the reference, in place, cut at every edge of the runs that its
// blocks take, and the same bits however sequences are cut and packed.
#include "tests/cuda/support.h"

namespace krait::cuda {
namespace {

struct ConvData {
  int32_t channels, d_conv;
  bool bias;
  int64_t tokens;
  std::vector<float> taps, biases, past, x;  // taps and past with the channel outermost

  ConvData(int32_t channel_count, int32_t taps_count, bool with_bias, int64_t count, uint64_t seed)
      : channels(channel_count), d_conv(taps_count), bias(with_bias), tokens(count) {
    Random random(seed);
    taps = random.values(channels * d_conv);
    biases = random.values(channels);
    past = random.values(channels * (d_conv - 1));
    x = random.values(tokens * channels);
  }
  int64_t past_floats() const { return static_cast<int64_t>(channels) * (d_conv - 1); }
};

// Runs the calls, each a list of segments, over `slots` copies of the past.
Result run(const ConvData& data, const std::vector<std::vector<Segment>>& calls, int64_t slots = 1,
           bool in_place = true) {
  const auto taps = transpose(data.taps, data.channels, data.d_conv);
  const auto past = transpose(data.past, data.channels, data.d_conv - 1);
  Result result;
  for (int64_t slot = 0; slot < slots; ++slot)
    result.states.insert(result.states.end(), past.begin(), past.end());
  TestRows x(data.x, data.tokens, data.channels, 2, 1), apart({}, data.tokens, data.channels, 1);
  TestRows& out = in_place ? x : apart;
  for (const std::vector<Segment>& list : calls) {
    const Segments segments = segments_of(list);
    const int64_t bytes = conv_scratch(data.d_conv, data.channels, segments.tokens);
    std::vector<float> scratch(bytes / 4 + 1, 5.0f);
    Conv conv{taps.data(), data.bias ? data.biases.data() : nullptr,   data.d_conv, data.channels,
              segments,    {result.states.data(), data.past_floats()}, x.view,      out.view};
    causal_conv(nullptr, conv, reinterpret_cast<std::byte*>(scratch.data()));
    EXPECT_EQ(scratch.back(), 5.0f) << "wrote beyond conv_scratch()";
  }
  EXPECT_TRUE(out.gaps_untouched());
  result.y = out.values();
  return result;
}

class ConvTest : public KernelTest {};

TEST_F(ConvTest, MatchesTheReferenceAndSplitsAnywhere) {
  const ConvData cases[] = {
      {8, 4, true, 11, 1},   {130, 4, false, 11, 2}, {37, 3, true, 11, 3},   {50, 2, true, 11, 4},
      {20, 1, false, 11, 5}, {33, 5, true, 11, 6},   {33, 9, true, 11, 7},   {17, 64, true, 11, 8},
      {40, 4, true, 300, 9}, {7, 3, false, 129, 10}, {9, 2, true, 65, 11},   {5, 1, true, 140, 12},
      {6, 8, true, 200, 13}, {3, 9, true, 200, 14},  {3, 64, true, 1100, 15}};
  for (const ConvData& data : cases) {
    SCOPED_TRACE(testing::Message() << data.channels << " channels, d_conv " << data.d_conv << ", "
                                    << data.tokens << " tokens");
    auto exact_past = doubles(data.past);
    const auto exact =
        reference::causal_conv(doubles(data.taps), data.bias ? doubles(data.biases) : doubles({}),
                               exact_past, doubles(data.x), data.channels, data.d_conv);
    const Result whole = run(data, pieces_of(data.tokens, data.tokens));
    EXPECT_LE(relative_error(whole.y, exact), 1e-6);
    EXPECT_LE(relative_error(whole.states, transpose(exact_past, data.channels, data.d_conv - 1)),
              1e-7);
    for (const int64_t piece : {1, 2, 5, 10, 63, 64, 65, 128, 129})
      if (piece < data.tokens) {
        use_seed(piece);
        EXPECT_EQ(run(data, pieces_of(data.tokens, piece)), whole) << "pieces of " << piece;
      }
    EXPECT_EQ(run(data, pieces_of(data.tokens, data.tokens), 1, false), whole) << "not in place";
  }
}

// Segments of all lengths together, more of them than a warp has lanes, in slots in any order.
TEST_F(ConvTest, SegmentsOfOneStepAreIndependentSequences) {
  for (const int32_t d_conv : {4, 5, 2}) {
    std::vector<int32_t> lengths = {1, 64, 65, 200, 1, 3, 128, 129, 2, 63};
    for (int32_t i = 0; i < 45; ++i) lengths.push_back(1 + i % 3);
    lengths.insert(lengths.end(), {130, 64, 1, 191});
    const auto slots = static_cast<int64_t>(lengths.size());
    const std::vector<Segment> parts = packed(lengths);
    const ConvData data(21, d_conv, true, parts.back().begin + parts.back().length, 3);
    const Result together = run(data, {parts}, slots);
    std::vector<std::vector<Segment>> alone;
    for (const Segment& part : parts) alone.push_back({part});
    EXPECT_EQ(run(data, alone, slots), together);
    std::vector<Segment> backwards(parts.rbegin(), parts.rend());
    for (const uint64_t seed : {2, 3, 4}) {
      use_seed(seed);
      EXPECT_EQ(run(data, {backwards}, slots), together);
    }
    // One token of each in a batch first, then the rest.
    std::vector<Segment> heads, rests;
    for (const Segment& part : parts) {
      heads.push_back({part.slot, part.begin, 1});
      if (part.length > 1) rests.push_back({part.slot, part.begin + 1, part.length - 1});
    }
    EXPECT_EQ(run(data, {heads, rests}, slots), together);
  }
}

}  // namespace
}  // namespace krait::cuda
