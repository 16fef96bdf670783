// Slow, obvious versions of every kernel, in double precision: the oracle the others are tested
// against. Never optimised. Matrices are dense and row-major; states are in reference order
// (channel outermost), as in the papers.
#pragma once

#include <cstdint>
#include <vector>

namespace krait::reference {

using Array = std::vector<double>;

// y[t, r] = sum_k w[r, k] x[t, k] + bias[r]; bias may be empty.
Array linear(const Array& w, const Array& bias, const Array& x, int64_t rows, int64_t cols,
             int64_t tokens);

// x * (mean(x^2) + eps)^-1/2 * weight, row by row; weight may be empty.
Array rms_norm(const Array& x, const Array& weight, double eps, int64_t cols);

double softplus(double v);
double silu(double v);

// Causal depthwise convolution and SiLU. taps [channels, d_conv] (tap d_conv-1 is the current
// token), bias [channels] or empty, state [channels, d_conv-1] oldest first (updated), x [T,
// channels].
Array causal_conv(const Array& taps, const Array& bias, Array& state, const Array& x,
                  int64_t channels, int64_t d_conv);

// Mamba-1 selective scan with softplus, D and gate. a = -exp(A_log) [d_inner, d_state], d and
// dt_bias [d_inner], state [d_inner, d_state] (updated); x, dt (before bias and softplus), z
// [T, d_inner]; b, c [T, d_state].
struct ScanInput {
  Array a, d, dt_bias, x, dt, b, c, z;
  int64_t d_inner = 0, d_state = 0;
};
Array selective_scan(const ScanInput& in, Array& state);

// x * silu(z)
Array gate(const Array& x, const Array& z);

// Mamba-2 scan. a = -exp(A_log) and dt_bias [n_heads], d [n_heads * head_dim], state [n_heads,
// head_dim, d_state] (updated); x [T, n_heads * head_dim], dt (before bias and softplus) [T,
// n_heads]; b, c [T, n_groups * d_state].
struct SsdInput {
  Array a, d, dt_bias, x, dt, b, c;
  int64_t n_heads = 0, head_dim = 0, n_groups = 0, d_state = 0;
  double dt_min = 0, dt_max = 0;
};
// The recurrence, token by token.
Array ssd_scan(const SsdInput& in, Array& state);
// The same from the matrix form (structured state-space duality): in chunks of `chunk` tokens, the
// outputs are a masked product of C, B and the decays between them, plus what the chunk found.
Array ssd_matrix(const SsdInput& in, Array& state, int64_t chunk);

// S4D scan with D and gate, in complex numbers. decay [d_inner, pairs, 2] (real, imaginary), c the
// same: the weights of the two parts in the output; d [d_inner], state [d_inner, pairs, 2]
// (updated); x, z [T, d_inner].
struct S4dInput {
  Array decay, c, d, x, z;
  int64_t d_inner = 0, pairs = 0;
};
Array s4d_scan(const S4dInput& in, Array& state);

}  // namespace krait::reference
