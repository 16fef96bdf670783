// What becomes of the results of a fused step's products (Sinks of FewProduct).
#pragma once

#include "kernels/cuda/conv_step.h"
#include "kernels/cuda/scan_step.h"
#include "kernels/cuda/staged.h"
#include "kernels/cuda/step.h"

namespace krait::cuda {

// in_proj: rows [first, first + channels) pass the convolution and SiLU, the others go as they are.
struct ConvSink {
  static constexpr int kLanes = 1;
  Conv conv;
  int32_t first = 0;
  const float* bias = nullptr;
  Rows out;

  template <class Reader>
  KRAIT_DEVICE void put(const Reader&, bool real, int row, int token, int, float sum) const {
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

// The low-rank dt, B and C of a token, normalised where the model says so; read by the product of
// dt_proj and, behind it, by the scan.
struct DtSource {
  Rows dt_b_c;
  int32_t dt_rank = 0, d_state = 0, tokens = 0;
  float eps = -1;

  KRAIT_DEVICE StagedReader open(std::byte* shared) const {
    auto* rows = reinterpret_cast<float*>(shared);
    const int cols = dt_rank + 2 * d_state;
    const int64_t stride = staged_stride(cols);
    for (int token = 0; token < tokens; ++token)
      for (int k = thread_index(); k < cols; k += thread_count())
        rows[token * stride + k] = dt_b_c.data[token * dt_b_c.stride + k];
    sync_block();
    if (eps >= 0) {
      float* sums = rows + tokens * stride;
      normalise_staged(rows, stride, tokens, 0, 1, dt_rank, nullptr, eps, sums);
      normalise_staged(rows, stride, tokens, dt_rank, 1, d_state, nullptr, eps, sums);
      normalise_staged(rows, stride, tokens, dt_rank + d_state, 1, d_state, nullptr, eps, sums);
    }
    return {rows, stride};
  }
};

// dt_proj: one step of the selective scan for each channel and token, kScanParts lanes a channel.
struct ScanSink {
  static constexpr int kLanes = kScanParts;
  static constexpr int kMostStates = 16;  // of a lane
  Scan scan;
  int32_t dt_rank = 0;

  template <class Reader>
  KRAIT_DEVICE void put(const Reader& reader, bool real, int channel, int token, int part,
                        float sum) const {
    const int per_part = ceil_div(scan.d_state, kScanParts), first = part * per_part;
    const int count = real ? static_cast<int>(at_most(per_part, scan.d_state - first)) : 0;
    float y = 0, x = 0, z = 0;
    if (real) {
      x = scan.x.data[token * scan.x.stride + channel];
      z = scan.z.data[token * scan.z.stride + channel];
      y = advance_states(reader, channel, token, first, count, x,
                         scan_dt(sum, scan.dt_bias[channel]));
    }
    y = sum_lanes<kLanes>(y);
    if (real && part == 0)
      scan.out.data[token * scan.out.stride + channel] = scan_output(y, scan.d[channel], x, z);
  }

  template <class Reader>
  KRAIT_DEVICE float advance_states(const Reader& reader, int channel, int token, int first,
                                    int count, float x, float dt) const {
    float* state = scan.state.data + scan.segments.list[token].slot * scan.state.slot_stride +
                   channel + int64_t{first} * scan.d_inner;
    const float* a = scan.a + channel + int64_t{first} * scan.d_inner;
    const float dt_x = dt * x;
    float h[kMostStates], rate[kMostStates], y = 0;
    KRAIT_UNROLL
    for (int i = 0; i < kMostStates; ++i) {
      if (i >= count) continue;
      h[i] = state[int64_t{i} * scan.d_inner];
      rate[i] = decay_rate(a[int64_t{i} * scan.d_inner]);
    }
    KRAIT_UNROLL
    for (int i = 0; i < kMostStates; ++i) {
      if (i >= count) continue;
      scan_state(h[i], rate[i], dt, dt_x, reader.value(token, dt_rank + first + i),
                 reader.value(token, dt_rank + scan.d_state + first + i), y);
      state[int64_t{i} * scan.d_inner] = h[i];
    }
    return y;
  }
};

}  // namespace krait::cuda
