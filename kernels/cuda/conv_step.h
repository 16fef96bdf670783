// One channel of the causal convolution: the bias, plus the taps times their inputs, oldest first,
// then SiLU.
#pragma once

#include "kernels/cuda/device.h"

namespace krait::cuda {

inline constexpr int kMaxConv = 64;

// The taps of a channel and its last inputs, oldest first, the current one at the end.
template <int kTaps>
struct ConvWindow {
  float tap[kTaps], input[kTaps], bias;

  // `taps` [kTaps, channels] and `channel_bias` (or null) already point at the channel.
  KRAIT_DEVICE void load_weights(const float* taps, const float* channel_bias, int64_t channels) {
    KRAIT_UNROLL
    for (int k = 0; k < kTaps; ++k) tap[k] = taps[k * channels];
    bias = channel_bias ? *channel_bias : 0.0f;
  }
  // `past` is a plane [kTaps - 1, channels] at the channel.
  KRAIT_DEVICE void load_past(const float* past, int64_t channels) {
    KRAIT_UNROLL
    for (int k = 0; k + 1 < kTaps; ++k) input[k] = past[k * channels];
  }
  KRAIT_DEVICE void store_past(float* past, int64_t channels) const {
    KRAIT_UNROLL
    for (int k = 0; k + 1 < kTaps; ++k) past[k * channels] = input[k];
  }
  // The output of the token x, which becomes the newest of the past.
  KRAIT_DEVICE float step(float x) {
    input[kTaps - 1] = x;
    float sum = bias;
    KRAIT_UNROLL
    for (int k = 0; k < kTaps; ++k) sum = multiply_add(tap[k], input[k], sum);
    KRAIT_UNROLL
    for (int k = 0; k + 1 < kTaps; ++k) input[k] = input[k + 1];
    return silu(sum);
  }
};

// The same for any number of taps, the past in memory: `past` [d_conv - 1, channels] is moved on by
// the token. The same bits as ConvWindow.
KRAIT_DEVICE float conv_step(const float* taps, const float* channel_bias, float* past,
                             int32_t d_conv, int64_t channels, float x) {
  float sum = channel_bias ? *channel_bias : 0.0f;
  for (int k = 0; k + 1 < d_conv; ++k) {
    const float input = past[k * channels];
    if (k > 0) past[(k - 1) * channels] = input;
    sum = multiply_add(taps[k * channels], input, sum);
  }
  if (d_conv > 1) past[(d_conv - 2) * channels] = x;
  return silu(multiply_add(taps[(d_conv - 1) * channels], x, sum));
}

}  // namespace krait::cuda
