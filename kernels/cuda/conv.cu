// Causal depthwise convolution with SiLU, a channel per thread. Long segments are cut into runs of
// tokens for blocks of their own. As x may be overwritten in place, and the state is read by the
// first run and written by the last, a first kernel copies what lies before each run.
#include "kernels/cuda/conv_step.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/runs.h"

namespace krait::cuda {
namespace {

constexpr int kConvThreads = 128;  // and channels of a block

// More taps, longer runs: what is copied stays a small part.
constexpr int32_t run_length(int32_t d_conv) { return d_conv <= 8 ? 64 : 8 * d_conv; }

KRAIT_DEVICE int64_t past_floats(const Conv& conv) {
  return static_cast<int64_t>(conv.d_conv - 1) * conv.channels;
}
KRAIT_DEVICE float* state_of(const Conv& conv, int32_t slot) {
  return conv.state.data + slot * conv.state.slot_stride;
}

// What the kernels share: blocks along the channels, then along something else.
struct ConvGrid {
  Conv conv;
  int32_t channel_blocks;
  int32_t run_length;  // tokens
  KRAIT_DEVICE int64_t channel() const {
    return static_cast<int64_t>(block_x() % channel_blocks) * kConvThreads + thread_index();
  }
  KRAIT_DEVICE int32_t item() const { return block_x() / channel_blocks; }
};

// Segments of one token each. kTaps is d_conv where it is known at compile time, else 0.
template <int kTaps>
struct ConvOneToken {
  static constexpr int kThreads = kConvThreads;
  static constexpr int kMinBlocks = 8;
  ConvGrid grid;

  KRAIT_DEVICE void operator()() const {
    const Conv& conv = grid.conv;
    const int64_t channel = grid.channel(), channels = conv.channels;
    const float* taps = conv.taps + channel;
    const float* bias = conv.bias ? conv.bias + channel : nullptr;
    release_successor();
    ConvWindow<kTaps == 0 ? 1 : kTaps> window;
    if constexpr (kTaps > 0)
      if (channel < channels) window.load_weights(taps, bias, channels);
    wait_for_predecessor();
    if (channel >= channels) return;
    const Segment segment = conv.segments.list[grid.item()];
    float* past = state_of(conv, segment.slot) + channel;
    const float x = conv.x.data[segment.begin * conv.x.stride + channel];
    float y;
    if constexpr (kTaps > 0) {
      window.load_past(past, channels);
      y = window.step(x);
      window.store_past(past, channels);
    } else {
      y = conv_step(taps, bias, past, conv.d_conv, channels, x);
    }
    conv.out.data[segment.begin * conv.out.stride + channel] = y;
  }
};

// The inputs before each run of the segments that have several: before the first the state.
struct ConvHalo {
  static constexpr int kThreads = kConvThreads;
  static constexpr int kMinBlocks = 8;
  ConvGrid grid;
  float* halos;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const Conv& conv = grid.conv;
    const Run run = find_run(conv.segments, grid.run_length, grid.item(), true);
    const int64_t channel = grid.channel();
    if (!run.found || channel >= conv.channels) return;
    const int64_t before = run.segment.begin + run.first - (conv.d_conv - 1);
    const float* from =
        run.first == 0 ? state_of(conv, run.segment.slot) : conv.x.data + before * conv.x.stride;
    const int64_t stride = run.first == 0 ? conv.channels : conv.x.stride;
    float* to = halos + run.cut * past_floats(conv);
    for (int k = 0; k + 1 < conv.d_conv; ++k)
      to[static_cast<int64_t>(k) * conv.channels + channel] = from[k * stride + channel];
  }
};

// One channel of one run.
struct ConvChannel {
  const float *taps, *bias, *past;
  float* left;  // where the last inputs go, or null
  const float* x;
  float* out;
  int64_t channels, x_stride, out_stride;
  int32_t d_conv, length;
};

// In tiles of tokens, each asked for while the one before is worked on.
template <int kTaps>
KRAIT_DEVICE void conv_run(const ConvChannel& c) {
  constexpr int kTile = 8;
  ConvWindow<kTaps> window;
  window.load_weights(c.taps, c.bias, c.channels);
  window.load_past(c.past, c.channels);
  const float* from = c.x;
  float *to = c.out, next[kTile];
  const auto fetch = [&](int count) {
    KRAIT_UNROLL
    for (int i = 0; i < kTile; ++i) next[i] = i < count ? from[i * c.x_stride] : 0.0f;
    from += kTile * c.x_stride;
  };
  fetch(c.length);
  for (int left = c.length; left > 0; left -= kTile) {
    float x[kTile];
    KRAIT_UNROLL
    for (int i = 0; i < kTile; ++i) x[i] = next[i];
    fetch(left - kTile);
    if (left >= kTile) {
      KRAIT_UNROLL
      for (int i = 0; i < kTile; ++i) x[i] = window.step(x[i]);
      KRAIT_UNROLL
      for (int i = 0; i < kTile; ++i) to[i * c.out_stride] = x[i];
    } else {
      KRAIT_UNROLL
      for (int i = 0; i < kTile; ++i)
        if (i < left) to[i * c.out_stride] = window.step(x[i]);
    }
    to += kTile * c.out_stride;
  }
  if (c.left) window.store_past(c.left, c.channels);
}

// Any number of taps: the past in a ring.
template <>
KRAIT_DEVICE void conv_run<0>(const ConvChannel& c) {
  float ring[kMaxConv];
  const int past = c.d_conv - 1;
  for (int k = 0; k < past; ++k) ring[k] = c.past[k * c.channels];
  int oldest = 0;
  for (int t = 0; t < c.length; ++t) {
    const float x = c.x[t * c.x_stride];
    float sum = c.bias ? *c.bias : 0.0f;
    int at = oldest;
    for (int k = 0; k < past; ++k) {
      sum = multiply_add(c.taps[k * c.channels], ring[at], sum);
      at = at + 1 == past ? 0 : at + 1;
    }
    c.out[t * c.out_stride] = silu(multiply_add(c.taps[past * c.channels], x, sum));
    if (past == 0) continue;
    ring[oldest] = x;
    oldest = oldest + 1 == past ? 0 : oldest + 1;
  }
  if (!c.left) return;
  for (int k = 0; k < past; ++k) {
    c.left[k * c.channels] = ring[oldest];
    oldest = oldest + 1 == past ? 0 : oldest + 1;
  }
}

template <int kTaps>
struct ConvRuns {
  static constexpr int kThreads = kConvThreads;
  static constexpr int kMinBlocks = 6;
  ConvGrid grid;
  const float* halos;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const Conv& conv = grid.conv;
    const Run run = find_run(conv.segments, grid.run_length, grid.item(), false);
    const int64_t channel = grid.channel();
    if (!run.found || channel >= conv.channels) return;
    const int64_t first = run.segment.begin + run.first;
    float* state = state_of(conv, run.segment.slot) + channel;
    ConvChannel c;
    c.taps = conv.taps + channel;
    c.bias = conv.bias ? conv.bias + channel : nullptr;
    c.past = run.cut < 0 ? state : halos + run.cut * past_floats(conv) + channel;
    c.left = run.first + run.length == run.segment.length ? state : nullptr;
    c.x = conv.x.data + first * conv.x.stride + channel;
    c.out = conv.out.data + first * conv.out.stride + channel;
    c.channels = conv.channels;
    c.x_stride = conv.x.stride;
    c.out_stride = conv.out.stride;
    c.d_conv = conv.d_conv;
    c.length = run.length;
    conv_run<kTaps>(c);
  }
};

template <int kTaps>
void start_conv(Stream stream, const Conv& conv, float* halos) noexcept {
  const int32_t length = run_length(conv.d_conv);
  const ConvGrid grid{conv, ceil_div(conv.channels, kConvThreads), length};
  const auto blocks = [&](int64_t items) {
    return Shape{items * grid.channel_blocks, 1, kConvThreads, 0};
  };
  const int64_t segments = conv.segments.count, tokens = conv.segments.tokens;
  if (segments == tokens) {
    launch(stream, blocks(segments), ConvOneToken<kTaps>{grid});
    return;
  }
  // The longest segment has at most this many tokens, if no segment is empty.
  const bool may_cut = tokens - segments + 1 > length;
  if (may_cut && conv.d_conv > 1)
    launch(stream, blocks(most_cut_runs(tokens, length)), ConvHalo{grid, halos});
  launch(stream, blocks(most_runs(segments, tokens, length)), ConvRuns<kTaps>{grid, halos});
}

}  // namespace

int64_t conv_scratch(int32_t d_conv, int32_t channels, int32_t tokens) noexcept {
  return most_cut_runs(tokens, run_length(d_conv)) * (d_conv - 1) * channels *
         static_cast<int64_t>(sizeof(float));
}

void causal_conv(Stream stream, const Conv& conv, std::byte* scratch) noexcept {
  if (conv.segments.tokens == 0) return;
  auto* halos = reinterpret_cast<float*>(scratch);
  switch (conv.d_conv) {
    case 2: return start_conv<2>(stream, conv, halos);
    case 3: return start_conv<3>(stream, conv, halos);
    case 4: return start_conv<4>(stream, conv, halos);
    default: return start_conv<0>(stream, conv, halos);
  }
}

}  // namespace krait::cuda
