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

  struct Ahead {
    float bias;
    float* past;           // null: no convolution
    ConvWindow<4> window;  // where d_conv is 4
  };
  KRAIT_DEVICE Ahead fetch(int row, int token, int) const {
    Ahead ahead{};
    if (bias) ahead.bias = bias[row];
    const int channel = row - first;
    if (channel < 0 || channel >= conv.channels) return ahead;
    ahead.past =
        conv.state.data + conv.segments.list[token].slot * conv.state.slot_stride + channel;
    if (conv.d_conv == 4) {
      ahead.window.load_past(ahead.past, conv.channels);
      ahead.window.load_weights(conv.taps + channel, conv.bias ? conv.bias + channel : nullptr,
                                conv.channels);
    }
    return ahead;
  }

  KRAIT_DEVICE void put(int, const Ahead& ahead, bool real, int row, int token, int,
                        float sum) const {
    if (!real) return;
    if (bias) sum += ahead.bias;
    if (ahead.past && conv.d_conv == 4) {
      ConvWindow<4> window = ahead.window;
      sum = window.step(sum);
      window.store_past(ahead.past, conv.channels);
    } else if (ahead.past) {
      const int channel = row - first;
      sum = conv_step(conv.taps + channel, conv.bias ? conv.bias + channel : nullptr, ahead.past,
                      conv.d_conv, conv.channels, sum);
    }
    out.data[token * out.stride + row] = sum;
  }
};

// dt_proj: one step of the selective scan for each channel and token, kScanParts lanes a channel.
struct ScanSink {
  static constexpr int kLanes = kScanParts;
  static constexpr int kStates = 4;  // of a lane, at most
  Scan scan;

  struct Ahead {
    float x, z, bias, d;
    float* state;
    float h[kStates], rate[kStates];
  };
  KRAIT_DEVICE int first_state(int part) const { return part * ceil_div(scan.d_state, kLanes); }
  KRAIT_DEVICE int state_count(int part) const {
    return static_cast<int>(
        at_most(ceil_div(scan.d_state, kLanes), scan.d_state - first_state(part)));
  }

  KRAIT_DEVICE Ahead fetch(int channel, int token, int part) const {
    Ahead ahead;
    ahead.x = scan.x.data[token * scan.x.stride + channel];
    ahead.z = scan.z.data[token * scan.z.stride + channel];
    ahead.bias = scan.dt_bias[channel];
    ahead.d = scan.d[channel];
    const int64_t at = channel + int64_t{first_state(part)} * scan.d_inner;
    ahead.state = scan.state.data + scan.segments.list[token].slot * scan.state.slot_stride + at;
    const int count = state_count(part);
    KRAIT_UNROLL
    for (int i = 0; i < kStates; ++i) {
      ahead.h[i] = i < count ? ahead.state[int64_t{i} * scan.d_inner] : 0.0f;
      ahead.rate[i] = i < count ? scan.a[at + int64_t{i} * scan.d_inner] : 0.0f;
    }
    return ahead;
  }

  // `b_c`: [token][B, C].
  KRAIT_DEVICE void put(const float* b_c, const Ahead& ahead, bool real, int channel, int token,
                        int part, float sum) const {
    float y = 0;
    if (real) {
      const float dt = scan_dt(sum, ahead.bias), dt_x = dt * ahead.x;
      const float* b = b_c + token * 2 * scan.d_state + first_state(part);
      const int count = state_count(part);
      KRAIT_UNROLL
      for (int i = 0; i < kStates; ++i) {
        if (i >= count) continue;
        float h = ahead.h[i];
        scan_state(h, decay_rate(ahead.rate[i]), dt, dt_x, b[i], b[scan.d_state + i], y);
        ahead.state[int64_t{i} * scan.d_inner] = h;
      }
    }
    y = sum_lanes<kLanes>(y);
    if (real && part == 0)
      scan.out.data[token * scan.out.stride + channel] = scan_output(y, ahead.d, ahead.x, ahead.z);
  }
};

}  // namespace krait::cuda
