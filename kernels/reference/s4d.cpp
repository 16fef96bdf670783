#include <complex>

#include "kernels/reference/reference.h"

namespace krait::reference {

Array s4d_scan(const S4dInput& in, Array& state) {
  const int64_t tokens = static_cast<int64_t>(in.x.size()) / in.d_inner;
  Array y(in.x.size());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t channel = 0; channel < in.d_inner; ++channel) {
      const double x = in.x[t * in.d_inner + channel];
      double sum = in.d[channel] * x;
      for (int64_t p = 0; p < in.pairs; ++p) {
        const int64_t i = 2 * (channel * in.pairs + p);
        const std::complex<double> decay(in.decay[i], in.decay[i + 1]);
        const std::complex<double> h = decay * std::complex(state[i], state[i + 1]) + x;
        sum += in.c[i] * h.real() + in.c[i + 1] * h.imag();
        state[i] = h.real();
        state[i + 1] = h.imag();
      }
      y[t * in.d_inner + channel] = sum * silu(in.z[t * in.d_inner + channel]);
    }
  return y;
}

}  // namespace krait::reference
