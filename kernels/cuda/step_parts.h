// What becomes of the results of a fused step's products (Sinks of FewProduct).
#pragma once

#include "kernels/cuda/conv_step.h"
#include "kernels/cuda/few_sources.h"
#include "kernels/cuda/scan_step.h"
#include "kernels/cuda/step.h"

namespace krait::cuda {

// in_proj: rows [first, first + channels) pass the convolution and SiLU, the others go as they are.
struct ConvSink {
  static constexpr int kLanes = 1;
  Conv conv;
  int32_t first = 0;
  const float* bias = nullptr;
  Rows out;

  KRAIT_DEVICE void put(int, bool real, int row, int token, int, float sum) const {
    if (!real) return;
    if (bias) sum += bias[row];
    const int channel = row - first;
    if (channel >= 0 && channel < conv.channels) sum = convolve(channel, token, sum);
    out.data[token * out.stride + row] = sum;
  }

  KRAIT_DEVICE float convolve(int channel, int token, float x) const {
    const int slot = conv.segments.list[token].slot;
    float* past = conv.state.data + slot * conv.state.slot_stride + channel;
    const float* channel_bias = conv.bias ? conv.bias + channel : nullptr;
    if (conv.d_conv != 4)
      return conv_step(conv.taps + channel, channel_bias, past, conv.d_conv, conv.channels, x);
    ConvWindow<4> window;
    window.load_past(past, conv.channels);
    window.load_weights(conv.taps + channel, channel_bias, conv.channels);
    const float y = window.step(x);
    window.store_past(past, conv.channels);
    return y;
  }
};

// dt_proj: one step of the selective scan for each channel and token, kScanParts lanes a channel.
struct ScanSink {
  static constexpr int kLanes = kScanParts;
  static constexpr int kAtOnce = 4;  // states that a lane loads together
  Scan scan;

  // `b_c`: [token][B, C].
  KRAIT_DEVICE void put(const float* b_c, bool real, int channel, int token, int part,
                        float sum) const {
    float y = 0, x = 0, z = 0;
    if (real) {
      x = scan.x.data[token * scan.x.stride + channel];
      z = scan.z.data[token * scan.z.stride + channel];
      y = advance_states(b_c + token * 2 * scan.d_state, channel, token, part, x,
                         scan_dt(sum, scan.dt_bias[channel]));
    }
    y = sum_lanes<kLanes>(y);
    if (real && part == 0)
      scan.out.data[token * scan.out.stride + channel] = scan_output(y, scan.d[channel], x, z);
  }

  KRAIT_DEVICE float advance_states(const float* b_c, int channel, int token, int part, float x,
                                    float dt) const {
    const int per_part = ceil_div(scan.d_state, kScanParts), first = part * per_part;
    const int count = static_cast<int>(at_most(per_part, scan.d_state - first));
    float* state = scan.state.data + scan.segments.list[token].slot * scan.state.slot_stride +
                   channel + int64_t{first} * scan.d_inner;
    const float* a = scan.a + channel + int64_t{first} * scan.d_inner;
    const float dt_x = dt * x;
    float y = 0;
    for (int begin = 0; begin < count; begin += kAtOnce) {
      float h[kAtOnce], rate[kAtOnce];
      KRAIT_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (begin + i >= count) continue;
        h[i] = state[int64_t{begin + i} * scan.d_inner];
        rate[i] = decay_rate(a[int64_t{begin + i} * scan.d_inner]);
      }
      KRAIT_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (begin + i >= count) continue;
        const int n = first + begin + i;
        scan_state(h[i], rate[i], dt, dt_x, b_c[n], b_c[scan.d_state + n], y);
        state[int64_t{begin + i} * scan.d_inner] = h[i];
      }
    }
    return y;
  }
};

}  // namespace krait::cuda
