// S4D scan: diagonal complex modes whose decay does not depend on the input, with D and the gate.
// 16 channels are the 16 lanes; their states stay in the first-level cache over the segment.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

template <bool kWhole>
KRAIT_INLINE void scan_lanes(const S4dScan& s, int64_t channel, int64_t lanes) {
  const int64_t to_imaginary = s.pairs * s.d_inner;
  const F d = load(s.d + channel);
  for (int64_t token = 0; token < s.tokens; ++token) {
    const F x = get<kWhole>(s.x + token * s.x_stride + channel, lanes);
    F y = mul(d, x);
    for (int64_t p = 0; p < s.pairs; ++p) {
      const int64_t re = p * s.d_inner + channel, im = re + to_imaginary;
      const F decay_re = load(s.decay + re), decay_im = load(s.decay + im);
      const F h_re = get<kWhole>(s.state + re, lanes), h_im = get<kWhole>(s.state + im, lanes);
      const F next_re = fma(decay_re, h_re, sub(x, mul(decay_im, h_im)));
      const F next_im = fma(decay_re, h_im, mul(decay_im, h_re));
      y = fma(load(s.c + re), next_re, y);
      y = fma(load(s.c + im), next_im, y);
      put<kWhole>(s.state + re, next_re, lanes);
      put<kWhole>(s.state + im, next_im, lanes);
    }
    const F z = get<kWhole>(s.z + token * s.z_stride + channel, lanes);
    put<kWhole>(s.out + token * s.out_stride + channel, mul(y, silu(z)), lanes);
  }
}

}  // namespace

void s4d_scan(const S4dScan& s) noexcept {
  int64_t channel = s.first;
  for (; channel + kLanes <= s.last; channel += kLanes) scan_lanes<true>(s, channel, kLanes);
  if (channel < s.last) scan_lanes<false>(s, channel, s.last - channel);
}

}  // namespace krait::cpu::KRAIT_ISA
