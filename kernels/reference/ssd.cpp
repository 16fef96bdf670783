#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace krait::reference {
namespace {

// One head's view of the input.
struct Head {
  const SsdInput& in;
  int64_t head;

  int64_t group() const { return head / (in.n_heads / in.n_groups); }
  double x(int64_t t, int64_t p) const { return in.x[(t * in.n_heads + head) * in.head_dim + p]; }
  double b(int64_t t, int64_t n) const {
    return in.b[(t * in.n_groups + group()) * in.d_state + n];
  }
  double c(int64_t t, int64_t n) const {
    return in.c[(t * in.n_groups + group()) * in.d_state + n];
  }
  double dt(int64_t t) const {
    return std::clamp(softplus(in.dt[t * in.n_heads + head] + in.dt_bias[head]), in.dt_min,
                      in.dt_max);
  }
  // The decay of what token `from` wrote, as token `to` sees it: a sum over the tokens between, not
  // a difference of two long sums, which would cancel.
  double decay(int64_t from, int64_t to) const {
    double sum = 0;
    for (int64_t t = from + 1; t <= to; ++t) sum += dt(t) * in.a[head];
    return std::exp(sum);
  }
};

// The chunk [first, last) of one head, from the state `h` [head_dim, d_state].
void matrix_chunk(const Head& head, int64_t first, int64_t last, double* h, Array& y) {
  const SsdInput& in = head.in;
  for (int64_t t = first; t < last; ++t) {
    double* out = &y[(t * in.n_heads + head.head) * in.head_dim];
    for (int64_t s = first; s <= t; ++s) {  // (C B^T masked with the decays) X
      double cb = 0;
      for (int64_t n = 0; n < in.d_state; ++n) cb += head.c(t, n) * head.b(s, n);
      const double m = cb * head.decay(s, t) * head.dt(s);
      for (int64_t p = 0; p < in.head_dim; ++p) out[p] += m * head.x(s, p);
    }
    const double past = head.decay(first - 1, t);
    for (int64_t p = 0; p < in.head_dim; ++p) {
      for (int64_t n = 0; n < in.d_state; ++n)
        out[p] += past * head.c(t, n) * h[p * in.d_state + n];
      out[p] += in.d[head.head * in.head_dim + p] * head.x(t, p);
    }
  }
  const double past = head.decay(first - 1, last - 1);
  for (int64_t p = 0; p < in.head_dim; ++p)
    for (int64_t n = 0; n < in.d_state; ++n) {
      double next = past * h[p * in.d_state + n];
      for (int64_t s = first; s < last; ++s)
        next += head.decay(s, last - 1) * head.dt(s) * head.x(s, p) * head.b(s, n);
      h[p * in.d_state + n] = next;
    }
}

}  // namespace

Array gate(const Array& x, const Array& z) {
  Array y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * silu(z[i]);
  return y;
}

Array ssd_scan(const SsdInput& in, Array& state) {
  const int64_t tokens = static_cast<int64_t>(in.dt.size()) / in.n_heads;
  Array y(in.x.size());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t e = 0; e < in.n_heads; ++e) {
      const int64_t group = e / (in.n_heads / in.n_groups);
      const double dt =
          std::clamp(softplus(in.dt[t * in.n_heads + e] + in.dt_bias[e]), in.dt_min, in.dt_max);
      const double keep = std::exp(dt * in.a[e]);
      for (int64_t p = 0; p < in.head_dim; ++p) {
        const int64_t channel = e * in.head_dim + p;
        const double x = in.x[t * in.n_heads * in.head_dim + channel];
        double sum = in.d[channel] * x;
        for (int64_t n = 0; n < in.d_state; ++n) {
          const int64_t i = (t * in.n_groups + group) * in.d_state + n;
          double& h = state[channel * in.d_state + n];
          h = keep * h + dt * in.b[i] * x;
          sum += h * in.c[i];
        }
        y[t * in.n_heads * in.head_dim + channel] = sum;
      }
    }
  return y;
}

Array ssd_matrix(const SsdInput& in, Array& state, int64_t chunk) {
  const int64_t tokens = static_cast<int64_t>(in.dt.size()) / in.n_heads;
  Array y(in.x.size());
  for (int64_t e = 0; e < in.n_heads; ++e)
    for (int64_t first = 0; first < tokens; first += chunk)
      matrix_chunk({in, e}, first, std::min(first + chunk, tokens),
                   &state[e * in.head_dim * in.d_state], y);
  return y;
}

}  // namespace krait::reference
