// Mamba-1 selective scan: the recurrence of selective_scan_ref, fused with softplus, D and the
// gate. 16 channels are the 16 lanes; their d_state states stay in registers over the whole segment
// when d_state is 16, and in the state plane (the first-level cache) otherwise.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// h[n] = exp(dt A[n]) h[n] + dt B[n] x, and the running sum of h[n] C[n].
KRAIT_INLINE F advance(F h, F dt_log2e, F a, F dt_x, float b, float c, F& y) {
  h = fma(exp2(mul(dt_log2e, a)), h, mul(dt_x, set1(b)));
  y = fma(h, set1(c), y);
  return h;
}

// kStates is d_state where it is known at compile time, else 0.
template <int kStates>
KRAIT_INLINE void scan_lanes(const Scan& s, int64_t channel, int64_t lanes) {
  const int64_t states = kStates > 0 ? kStates : s.d_state;
  F h[kStates > 0 ? kStates : 1];
  if constexpr (kStates > 0) {
    KRAIT_UNROLL
    for (int n = 0; n < kStates; ++n) h[n] = load_first(s.state + n * s.d_inner + channel, lanes);
  }
  const F dt_bias = load(s.dt_bias + channel), d = load(s.d + channel);
  for (int64_t t = 0; t < s.tokens; ++t) {
    const F x = load_first(s.x + t * s.x_stride + channel, lanes);
    const F z = load_first(s.z + t * s.z_stride + channel, lanes);
    const F dt = softplus(add(load_first(s.dt + t * s.dt_stride + channel, lanes), dt_bias));
    const F dt_log2e = mul(dt, set1(0x1.715476p+0f)), dt_x = mul(dt, x);
    const float* b = s.b + t * s.b_stride;
    const float* c = s.c + t * s.c_stride;
    F y = zero();
    if constexpr (kStates > 0) {
      KRAIT_UNROLL
      for (int n = 0; n < kStates; ++n)
        h[n] = advance(h[n], dt_log2e, load(s.a + n * s.d_inner + channel), dt_x, b[n], c[n], y);
    } else {
      for (int64_t n = 0; n < states; ++n) {
        float* plane = s.state + n * s.d_inner + channel;
        const F next = advance(load_first(plane, lanes), dt_log2e,
                               load(s.a + n * s.d_inner + channel), dt_x, b[n], c[n], y);
        store_first(plane, next, lanes);
      }
    }
    store_first(s.out + t * s.out_stride + channel, mul(fma(d, x, y), silu(z)), lanes);
  }
  if constexpr (kStates > 0) {
    KRAIT_UNROLL
    for (int n = 0; n < kStates; ++n) store_first(s.state + n * s.d_inner + channel, h[n], lanes);
  }
}

template <int kStates>
void scan_channels(const Scan& s) {
  for (int64_t channel = s.first; channel < s.last; channel += kLanes)
    scan_lanes<kStates>(s, channel, s.last - channel < kLanes ? s.last - channel : kLanes);
}

}  // namespace

void selective_scan(const Scan& s) noexcept {
  if (s.d_state == 16) return scan_channels<16>(s);
  scan_channels<0>(s);
}

}  // namespace krait::cpu::KRAIT_ISA
