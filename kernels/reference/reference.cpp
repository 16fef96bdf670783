#include "kernels/reference/reference.h"

#include <cmath>

namespace krait::reference {

Array linear(const Array& w, const Array& bias, const Array& x, int64_t rows, int64_t cols,
             int64_t tokens) {
  Array y(tokens * rows);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t r = 0; r < rows; ++r) {
      double sum = bias.empty() ? 0.0 : bias[r];
      for (int64_t k = 0; k < cols; ++k) sum += w[r * cols + k] * x[t * cols + k];
      y[t * rows + r] = sum;
    }
  return y;
}

Array rms_norm(const Array& x, const Array& weight, double eps, int64_t cols) {
  Array y(x.size());
  for (size_t row = 0; row < x.size(); row += cols) {
    double squares = 0;
    for (int64_t i = 0; i < cols; ++i) squares += x[row + i] * x[row + i];
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(cols) + eps);
    for (int64_t i = 0; i < cols; ++i)
      y[row + i] = x[row + i] * scale * (weight.empty() ? 1.0 : weight[i]);
  }
  return y;
}

double softplus(double v) { return v > 20.0 ? v : std::log1p(std::exp(v)); }
double silu(double v) { return v / (1.0 + std::exp(-v)); }

Array causal_conv(const Array& taps, const Array& bias, Array& state, const Array& x,
                  int64_t channels, int64_t d_conv) {
  const int64_t tokens = static_cast<int64_t>(x.size()) / channels;
  const int64_t past = d_conv - 1;
  Array y(x.size());
  for (int64_t c = 0; c < channels; ++c) {
    Array input(state.begin() + c * past, state.begin() + (c + 1) * past);
    for (int64_t t = 0; t < tokens; ++t) input.push_back(x[t * channels + c]);
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = bias.empty() ? 0.0 : bias[c];
      for (int64_t k = 0; k < d_conv; ++k) sum += taps[c * d_conv + k] * input[t + k];
      y[t * channels + c] = silu(sum);
    }
    for (int64_t k = 0; k < past; ++k) state[c * past + k] = input[tokens + k];
  }
  return y;
}

Array selective_scan(const ScanInput& in, Array& state) {
  const int64_t tokens = static_cast<int64_t>(in.x.size()) / in.d_inner;
  Array y(in.x.size());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t c = 0; c < in.d_inner; ++c) {
      const int64_t i = t * in.d_inner + c;
      const double dt = softplus(in.dt[i] + in.dt_bias[c]);
      double sum = in.d[c] * in.x[i];
      for (int64_t n = 0; n < in.d_state; ++n) {
        double& h = state[c * in.d_state + n];
        h = std::exp(dt * in.a[c * in.d_state + n]) * h + dt * in.b[t * in.d_state + n] * in.x[i];
        sum += h * in.c[t * in.d_state + n];
      }
      y[i] = sum * silu(in.z[i]);
    }
  return y;
}

}  // namespace krait::reference
