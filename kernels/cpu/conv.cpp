// Causal depthwise convolution with SiLU, 16 channels at a time, the window in registers.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// kTaps is d_conv where it is known at compile time, else 0.
template <int kTaps>
KRAIT_INLINE void conv_lanes(const Conv& a, int64_t channel, int64_t lanes) {
  constexpr int kWindow = kTaps > 0 ? kTaps : static_cast<int>(kMaxConv);
  const int taps = kTaps > 0 ? kTaps : static_cast<int>(a.d_conv);
  F tap[kWindow], window[kWindow];
  KRAIT_UNROLL
  for (int k = 0; k < taps; ++k) tap[k] = load(a.taps + k * a.channels + channel);
  KRAIT_UNROLL
  for (int k = 0; k < taps - 1; ++k)
    window[k] = load_first(a.state + k * a.channels + channel, lanes);
  const F bias = a.bias ? load(a.bias + channel) : zero();
  for (int64_t t = 0; t < a.tokens; ++t) {
    window[taps - 1] = load_first(a.x + t * a.x_stride + channel, lanes);
    F acc = bias;
    KRAIT_UNROLL
    for (int k = 0; k < taps; ++k) acc = fma(tap[k], window[k], acc);
    store_first(a.out + t * a.out_stride + channel, silu(acc), lanes);
    KRAIT_UNROLL
    for (int k = 0; k + 1 < taps; ++k) window[k] = window[k + 1];
  }
  KRAIT_UNROLL
  for (int k = 0; k < taps - 1; ++k)
    store_first(a.state + k * a.channels + channel, window[k], lanes);
}

template <int kTaps>
void conv_channels(const Conv& a) {
  for (int64_t channel = a.first; channel < a.last; channel += kLanes)
    conv_lanes<kTaps>(a, channel, a.last - channel < kLanes ? a.last - channel : kLanes);
}

}  // namespace

void causal_conv(const Conv& a) noexcept {
  switch (a.d_conv) {
    case 2: return conv_channels<2>(a);
    case 3: return conv_channels<3>(a);
    case 4: return conv_channels<4>(a);
    default: return conv_channels<0>(a);
  }
}

}  // namespace krait::cpu::KRAIT_ISA
