// CPU kernels for training a small Mamba-1 with PyTorch: the causal depthwise
// convolution, the selective scan and the cross-entropy, each with its gradient.
//
// Every operation is memory- or exp-bound when composed from tensor operations, so each
// is one pass here. Sixteen channels (or logits) travel together in one vector; the time
// loop is the recurrence itself. Activations may be float32 or bfloat16; parameters,
// states and all arithmetic are float32.
//
// Shapes: B batch, L sequence, C = d_inner channels, N = d_state (16), K = d_conv (4).
#include <torch/extension.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "lanes.h"

namespace {

using namespace lanes;

constexpr int64_t kState = 16;  // d_state
constexpr int64_t kTaps = 4;    // d_conv
constexpr int64_t kChunk = 32;  // steps between saved states; one chunk is recomputed at a time

// A (B, L, C) view whose channels are contiguous; rows may be part of a wider tensor.
template <class T>
struct Rows {
  T* data;
  int64_t batch_stride, row_stride;
  explicit Rows(const at::Tensor& t)
      : data(t.data_ptr<T>()), batch_stride(t.stride(0)), row_stride(t.stride(1)) {
    TORCH_CHECK(t.dim() == 3 && t.stride(2) == 1, "expected (B, L, C) with contiguous channels");
  }
  T* at(int64_t b, int64_t t) const { return data + b * batch_stride + t * row_stride; }
};

template <class Body>
void for_each(int64_t count, const Body& body) {
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

void check_channels(const at::Tensor& x) {
  TORCH_CHECK(x.size(2) % kLanes == 0, "channel count must be a multiple of 16, is ", x.size(2));
}

at::Tensor empty_f32(at::IntArrayRef shape) { return at::empty(shape, at::kFloat); }

#define DISPATCH(TENSOR, NAME, ...)                                       \
  AT_DISPATCH_SWITCH((TENSOR).scalar_type(), NAME,                        \
                     AT_DISPATCH_CASE(at::kFloat, [&] { __VA_ARGS__; })   \
                     AT_DISPATCH_CASE(at::kBFloat16, [&] { __VA_ARGS__; }))

// ---- Causal depthwise convolution followed by SiLU --------------------------------------
// y_t = silu(bias + sum_k w[k] x_{t-3+k}); `prefix` (B, K-1, C) holds the three columns
// before the first one. w is (K, C).

template <class T>
void conv_forward_lanes(const Rows<T>& x, const Rows<T>& prefix, const float* w, const float* bias, const Rows<T>& y,
                        int64_t b, int64_t c, int64_t C, int64_t L) {
  F tap[kTaps], window[kTaps];
  for (int64_t k = 0; k < kTaps; ++k) tap[k] = load(w + k * C + c);
  for (int64_t k = 1; k < kTaps; ++k) window[k] = load(prefix.at(b, k - 1) + c);
  for (int64_t t = 0; t < L; ++t) {
    for (int64_t k = 1; k < kTaps; ++k) window[k - 1] = window[k];
    window[kTaps - 1] = load(x.at(b, t) + c);
    F v = load(bias + c);
    for (int64_t k = 0; k < kTaps; ++k) v += tap[k] * window[k];
    store(y.at(b, t) + c, v * sigmoid(v));
  }
}

at::Tensor conv_forward(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias, const at::Tensor& prefix) {
  check_channels(x);
  TORCH_CHECK(w.size(0) == kTaps && w.is_contiguous(), "expected a contiguous (4, C) convolution weight");
  const int64_t B = x.size(0), L = x.size(1), C = x.size(2), blocks = C / kLanes;
  at::Tensor y = at::empty({B, L, C}, x.options());
  DISPATCH(x, "conv_forward", {
    const Rows<scalar_t> xr(x), pr(prefix), yr(y);
    for_each(B * blocks, [&](int64_t i) {
      conv_forward_lanes(xr, pr, w.data_ptr<float>(), bias.data_ptr<float>(), yr, i / blocks,
                         i % blocks * kLanes, C, L);
    });
  });
  return y;
}

// Walks the block forwards once, keeping g_t = dL/dv_t, then gathers dx from the K taps
// that saw each column.
template <class T>
void conv_backward_lanes(const Rows<T>& dy, const Rows<T>& x, const Rows<T>& prefix, const float* w, const float* bias,
                         const Rows<T>& dx, float* dw, float* dbias, int64_t b, int64_t c, int64_t C, int64_t L) {
  F tap[kTaps], window[kTaps], g[kTaps] = {}, dtap[kTaps] = {}, dsum = {};
  for (int64_t k = 0; k < kTaps; ++k) tap[k] = load(w + k * C + c);
  for (int64_t k = 1; k < kTaps; ++k) window[k] = load(prefix.at(b, k - 1) + c);
  // g[k] is the gradient of step t-3+k, so column t-3 is complete once step t is known.
  for (int64_t t = 0; t < L + kTaps - 1; ++t) {
    for (int64_t k = 1; k < kTaps; ++k) g[k - 1] = g[k];
    g[kTaps - 1] = F{};
    if (t < L) {
      for (int64_t k = 1; k < kTaps; ++k) window[k - 1] = window[k];
      window[kTaps - 1] = load(x.at(b, t) + c);
      F v = load(bias + c);
      for (int64_t k = 0; k < kTaps; ++k) v += tap[k] * window[k];
      const F s = sigmoid(v);
      g[kTaps - 1] = load(dy.at(b, t) + c) * s * (1.0f + v * (1.0f - s));
      dsum += g[kTaps - 1];
      for (int64_t k = 0; k < kTaps; ++k) dtap[k] += g[kTaps - 1] * window[k];
    }
    if (t >= kTaps - 1) {
      F d = {};
      for (int64_t k = 0; k < kTaps; ++k) d += tap[kTaps - 1 - k] * g[k];
      store(dx.at(b, t - kTaps + 1) + c, d);
    }
  }
  for (int64_t k = 0; k < kTaps; ++k) store(dw + k * C + c, dtap[k]);
  store(dbias + c, dsum);
}

// Weight gradients come back per batch row (B, K, C), (B, C): summing them outside keeps
// the result independent of the number of threads.
std::vector<at::Tensor> conv_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& w,
                                      const at::Tensor& bias, const at::Tensor& prefix) {
  const int64_t B = x.size(0), L = x.size(1), C = x.size(2), blocks = C / kLanes;
  at::Tensor dx = at::empty({B, L, C}, x.options());
  at::Tensor dw = empty_f32({B, kTaps, C}), dbias = empty_f32({B, C});
  DISPATCH(x, "conv_backward", {
    const Rows<scalar_t> dyr(dy), xr(x), pr(prefix), dxr(dx);
    for_each(B * blocks, [&](int64_t i) {
      const int64_t b = i / blocks, c = i % blocks * kLanes;
      conv_backward_lanes(dyr, xr, pr, w.data_ptr<float>(), bias.data_ptr<float>(), dxr,
                          dw.data_ptr<float>() + b * kTaps * C, dbias.data_ptr<float>() + b * C, b, c, C, L);
    });
  });
  return {dx, dw, dbias};
}

// ---- Selective scan with dt softplus, D skip and SiLU gate -------------------------------
//   dt = softplus(dt_raw + dt_bias)      h_t = exp(dt A) h_{t-1} + dt B_t u_t
//   y_t = (C_t . h_t + D u_t) silu(z_t)
// u, dt_raw, z (B, L, C); Bmat, Cmat (B, L, N); A (N, C), negative; D, dt_bias (C);
// h (B, N, C). States are saved every kChunk steps and recomputed between in the gradient.

template <class T>
struct ScanInput {
  Rows<T> u, dt_raw, z, Bmat, Cmat;
  const float *A, *D, *dt_bias;
  int64_t C, L;
};

template <class T>
void scan_forward_lanes(const ScanInput<T>& in, const float* h0, const Rows<T>& y, float* saved, float* h_last,
                        int64_t b, int64_t c) {
  F A[kState], h[kState];
  for (int64_t n = 0; n < kState; ++n) A[n] = load(in.A + n * in.C + c);
  for (int64_t n = 0; n < kState; ++n) h[n] = load(h0 + n * in.C + c);
  const F D = load(in.D + c), dt_bias = load(in.dt_bias + c);
  for (int64_t t = 0; t < in.L; ++t) {
    if (t % kChunk == 0) {
      for (int64_t n = 0; n < kState; ++n) store(saved + (t / kChunk * kState + n) * in.C + c, h[n]);
    }
    const F B_t = load(in.Bmat.at(b, t)), C_t = load(in.Cmat.at(b, t));
    const F dt = softplus(load(in.dt_raw.at(b, t) + c) + dt_bias);
    const F u = load(in.u.at(b, t) + c), z = load(in.z.at(b, t) + c);
    const F dt_u = dt * u;
    F out = D * u;
    for (int64_t n = 0; n < kState; ++n) {
      h[n] = exp_lanes(dt * A[n]) * h[n] + dt_u * B_t[n];
      out += h[n] * C_t[n];
    }
    store(y.at(b, t) + c, out * z * sigmoid(z));
  }
  for (int64_t n = 0; n < kState; ++n) store(h_last + n * in.C + c, h[n]);
}

template <class T>
ScanInput<T> scan_input(const at::Tensor& u, const at::Tensor& dt_raw, const at::Tensor& z, const at::Tensor& Bmat,
                        const at::Tensor& Cmat, const at::Tensor& A, const at::Tensor& D, const at::Tensor& dt_bias) {
  check_channels(u);
  TORCH_CHECK(A.size(0) == kState && A.is_contiguous(), "expected a contiguous (16, C) matrix A");
  return {Rows<T>(u), Rows<T>(dt_raw), Rows<T>(z), Rows<T>(Bmat), Rows<T>(Cmat), A.data_ptr<float>(),
          D.data_ptr<float>(), dt_bias.data_ptr<float>(), u.size(2), u.size(1)};
}

std::vector<at::Tensor> scan_forward(const at::Tensor& u, const at::Tensor& dt_raw, const at::Tensor& z,
                                     const at::Tensor& Bmat, const at::Tensor& Cmat, const at::Tensor& A,
                                     const at::Tensor& D, const at::Tensor& dt_bias, const at::Tensor& h0) {
  const int64_t B = u.size(0), L = u.size(1), C = u.size(2), blocks = C / kLanes, chunks = (L + kChunk - 1) / kChunk;
  TORCH_CHECK(h0.is_contiguous(), "expected a contiguous state");
  at::Tensor y = at::empty({B, L, C}, u.options());
  at::Tensor saved = empty_f32({B, chunks, kState, C}), h_last = empty_f32({B, kState, C});
  DISPATCH(u, "scan_forward", {
    const auto in = scan_input<scalar_t>(u, dt_raw, z, Bmat, Cmat, A, D, dt_bias);
    const Rows<scalar_t> yr(y);
    for_each(B * blocks, [&](int64_t i) {
      const int64_t b = i / blocks;
      scan_forward_lanes(in, h0.data_ptr<float>() + b * kState * C, yr,
                         saved.data_ptr<float>() + b * chunks * kState * C,
                         h_last.data_ptr<float>() + b * kState * C, b, i % blocks * kLanes);
    });
  });
  return {y, saved, h_last};
}

// What one batch row's gradient writes. dB and dC keep their 16 lanes apart, (L, N, 16),
// until all channel blocks have been added.
template <class T>
struct ScanGradient {
  Rows<T> dy, du, ddt, dz;
  float *dA, *dD, *ddt_bias;
  float *dB, *dC;
};

struct ChunkStates {
  F h[kChunk + 1][kState];  // h[i + 1] follows step i
  F decay[kChunk][kState];
  F dt[kChunk], slope[kChunk];  // softplus and its derivative
};

template <class T>
void recompute_chunk(const ScanInput<T>& in, const float* saved, ChunkStates& s, int64_t b, int64_t c, int64_t begin,
                     int64_t end) {
  F A[kState];
  for (int64_t n = 0; n < kState; ++n) A[n] = load(in.A + n * in.C + c);
  for (int64_t n = 0; n < kState; ++n) s.h[0][n] = load(saved + (begin / kChunk * kState + n) * in.C + c);
  for (int64_t t = begin; t < end; ++t) {
    const int64_t i = t - begin;
    const F v = load(in.dt_raw.at(b, t) + c) + load(in.dt_bias + c);
    const F B_t = load(in.Bmat.at(b, t));
    s.dt[i] = softplus(v);
    s.slope[i] = sigmoid(v);
    const F dt_u = s.dt[i] * load(in.u.at(b, t) + c);
    for (int64_t n = 0; n < kState; ++n) {
      s.decay[i][n] = exp_lanes(s.dt[i] * A[n]);
      s.h[i + 1][n] = s.decay[i][n] * s.h[i][n] + dt_u * B_t[n];
    }
  }
}

template <class T>
void scan_backward_lanes(const ScanInput<T>& in, const float* saved, const ScanGradient<T>& grad, ChunkStates& s,
                         int64_t b, int64_t c) {
  F A[kState], dA[kState] = {}, dh[kState] = {}, dD = {}, ddt_bias = {};
  for (int64_t n = 0; n < kState; ++n) A[n] = load(in.A + n * in.C + c);
  const F D = load(in.D + c);
  for (int64_t end = in.L; end > 0;) {
    const int64_t begin = (end - 1) / kChunk * kChunk;
    recompute_chunk(in, saved, s, b, c, begin, end);
    for (int64_t t = end - 1; t >= begin; --t) {
      const int64_t i = t - begin;
      const F u = load(in.u.at(b, t) + c), z = load(in.z.at(b, t) + c), dy = load(grad.dy.at(b, t) + c);
      const F B_t = load(in.Bmat.at(b, t)), C_t = load(in.Cmat.at(b, t));
      const F gate = sigmoid(z), g = dy * z * gate, dt = s.dt[i], dt_u = dt * u;
      F out = D * u, ddt = {}, dh_B = {};
      float *dB_t = grad.dB + t * kState * kLanes, *dC_t = grad.dC + t * kState * kLanes;
      for (int64_t n = 0; n < kState; ++n) {
        const F h = s.h[i + 1][n];
        out += h * C_t[n];
        store(dC_t + n * kLanes, load(dC_t + n * kLanes) + g * h);
        dh[n] += g * C_t[n];
        store(dB_t + n * kLanes, load(dB_t + n * kLanes) + dh[n] * dt_u);
        dh_B += dh[n] * B_t[n];
        dh[n] *= s.decay[i][n];
        const F d_exponent = dh[n] * s.h[i][n];
        ddt += d_exponent * A[n];
        dA[n] += d_exponent * dt;
      }
      dD += g * u;
      const F dv = (ddt + dh_B * u) * s.slope[i];
      ddt_bias += dv;
      store(grad.ddt.at(b, t) + c, dv);
      store(grad.du.at(b, t) + c, g * D + dh_B * dt);
      store(grad.dz.at(b, t) + c, dy * out * gate * (1.0f + z * (1.0f - gate)));
    }
    end = begin;
  }
  for (int64_t n = 0; n < kState; ++n) store(grad.dA + n * in.C + c, dA[n]);
  store(grad.dD + c, dD);
  store(grad.ddt_bias + c, ddt_bias);
}

// Returns du, ddt_raw, dz (as u), dB, dC (B, L, N), and per batch row dA (B, N, C), dD and
// ddt_bias (B, C).
std::vector<at::Tensor> scan_backward(const at::Tensor& dy, const at::Tensor& u, const at::Tensor& dt_raw,
                                      const at::Tensor& z, const at::Tensor& Bmat, const at::Tensor& Cmat,
                                      const at::Tensor& A, const at::Tensor& D, const at::Tensor& dt_bias,
                                      const at::Tensor& saved) {
  const int64_t B = u.size(0), L = u.size(1), C = u.size(2), lanes = L * kState * kLanes;
  at::Tensor du = at::empty({B, L, C}, u.options()), ddt = at::empty_like(du), dz = at::empty_like(du);
  at::Tensor dB = empty_f32({B, L, kState}), dC = empty_f32({B, L, kState});
  at::Tensor dA = empty_f32({B, kState, C}), dD = empty_f32({B, C}), ddt_bias = empty_f32({B, C});
  DISPATCH(u, "scan_backward", {
    const auto in = scan_input<scalar_t>(u, dt_raw, z, Bmat, Cmat, A, D, dt_bias);
    const Rows<scalar_t> dyr(dy), dur(du), ddtr(ddt), dzr(dz);
    for_each(B, [&](int64_t b) {
      std::vector<float> partial(2 * lanes, 0.0f);
      auto states = std::make_unique<ChunkStates>();
      const ScanGradient<scalar_t> grad{dyr, dur, ddtr, dzr, dA.data_ptr<float>() + b * kState * C,
                                        dD.data_ptr<float>() + b * C, ddt_bias.data_ptr<float>() + b * C,
                                        partial.data(), partial.data() + lanes};
      const float* saved_b = saved.data_ptr<float>() + b * saved.size(1) * kState * C;
      for (int64_t c = 0; c < C; c += kLanes) scan_backward_lanes(in, saved_b, grad, *states, b, c);
      for (int64_t i = 0; i < L * kState; ++i) {
        dB.data_ptr<float>()[b * L * kState + i] = sum(load(grad.dB + i * kLanes));
        dC.data_ptr<float>()[b * L * kState + i] = sum(load(grad.dC + i * kLanes));
      }
    });
  });
  return {du, ddt, dz, dB.to(u.scalar_type()), dC.to(u.scalar_type()), dA, dD, ddt_bias};
}

// ---- Cross-entropy -----------------------------------------------------------------------
// logits (M, V), targets (M) -> per-row loss (M) and d(mean loss)/d(logits), in one go.
// Losses of the rows and the gradient of their sum, both times the row's weight.
std::vector<at::Tensor> cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                                      const at::Tensor& weights) {
  const int64_t M = logits.size(0), V = logits.size(1);
  TORCH_CHECK(V % kLanes == 0 && logits.is_contiguous(), "expected contiguous rows of a multiple of 16 logits");
  at::Tensor loss = empty_f32({M}), grad = at::empty_like(logits);
  DISPATCH(logits, "cross_entropy", {
    const scalar_t* all_logits = logits.data_ptr<scalar_t>();
    scalar_t* all_grads = grad.data_ptr<scalar_t>();
    for_each(M, [&](int64_t m) {
      const scalar_t* row = all_logits + m * V;
      scalar_t* out = all_grads + m * V;
      const int64_t target = targets.data_ptr<int64_t>()[m];
      F top = load(row), total = {};
      for (int64_t v = 0; v < V; v += kLanes) {
        const F x = load(row + v);
        top = x > top ? x : top;
      }
      float highest = top[0];
      for (int64_t i = 1; i < kLanes; ++i) highest = std::max(highest, top[i]);
      for (int64_t v = 0; v < V; v += kLanes) total += exp_lanes(load(row + v) - highest);
      const float log_total = highest + std::log(sum(total));
      const float scale = weights.data_ptr<float>()[m];
      for (int64_t v = 0; v < V; v += kLanes) store(out + v, exp_lanes(load(row + v) - log_total) * scale);
      loss.data_ptr<float>()[m] = (log_total - static_cast<float>(row[target])) * scale;
      out[target] = static_cast<scalar_t>(static_cast<float>(out[target]) - scale);
    });
  });
  return {loss, grad};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("conv_forward", &conv_forward);
  m.def("conv_backward", &conv_backward);
  m.def("scan_forward", &scan_forward);
  m.def("scan_backward", &scan_backward);
  m.def("cross_entropy", &cross_entropy);
}
