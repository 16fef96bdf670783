// Mamba-1 selective scan: the recurrence of selective_scan_ref, fused with softplus, D and the
// gate. 16 channels are the 16 lanes; their d_state states stay in registers over the whole segment
// when d_state is 16, and in the state plane (the first-level cache) otherwise.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// h[n] = exp(dt A[n]) h[n] + dt B[n] x, and the running sum of h[n] C[n].
KRAIT_INLINE F advance(F h, F dt_log2e, F a, F dt_x, float b, float c, F& y) {
  h = fma(exp2_decay(mul(dt_log2e, a)), h, mul(dt_x, set1(b)));
  y = fma(h, set1(c), y);
  return h;
}

// 16 channels of a few tokens, from one pass to the next. Passes of their own leave the registers
// to the states during the recurrence.
constexpr int64_t kTile = 8;
struct Tile {
  F dt_log2e[kTile], dt_x[kTile], y[kTile];
};

KRAIT_INLINE void find_steps(const Scan& s, int64_t channel, int64_t lanes, int64_t token,
                             int64_t count, Tile& tile) {
  const F dt_bias = load(s.dt_bias + channel);
  for (int64_t i = 0; i < count; ++i) {
    const F raw = load_first(s.dt + (token + i) * s.dt_stride + channel, lanes);
    const F dt = softplus(add(raw, dt_bias));
    tile.dt_log2e[i] = mul(dt, set1(0x1.715476p+0f));
    tile.dt_x[i] = mul(dt, load_first(s.x + (token + i) * s.x_stride + channel, lanes));
  }
}

KRAIT_INLINE void put_out(const Scan& s, int64_t channel, int64_t lanes, int64_t token,
                          int64_t count, const Tile& tile) {
  const F d = load(s.d + channel);
  for (int64_t i = 0; i < count; ++i) {
    const F x = load_first(s.x + (token + i) * s.x_stride + channel, lanes);
    const F z = load_first(s.z + (token + i) * s.z_stride + channel, lanes);
    store_first(s.out + (token + i) * s.out_stride + channel, mul(fma(d, x, tile.y[i]), silu(z)),
                lanes);
  }
}

// kStates is d_state where it is known at compile time, else 0.
template <int kStates>
KRAIT_INLINE void scan_lanes(const Scan& s, int64_t channel, int64_t lanes) {
  F h[kStates > 0 ? kStates : 1];
  if constexpr (kStates > 0) {
    KRAIT_UNROLL
    for (int n = 0; n < kStates; ++n) h[n] = load_first(s.state + n * s.d_inner + channel, lanes);
  }
  Tile tile;
  for (int64_t token = 0; token < s.tokens; token += kTile) {
    const int64_t count = s.tokens - token < kTile ? s.tokens - token : kTile;
    find_steps(s, channel, lanes, token, count, tile);
    for (int64_t i = 0; i < count; ++i) {
      const float* b = s.b + (token + i) * s.b_stride;
      const float* c = s.c + (token + i) * s.c_stride;
      const F dt_log2e = tile.dt_log2e[i], dt_x = tile.dt_x[i];
      F y = zero();
      if constexpr (kStates > 0) {
        KRAIT_UNROLL
        for (int n = 0; n < kStates; ++n)
          h[n] = advance(h[n], dt_log2e, load(s.a + n * s.d_inner + channel), dt_x, b[n], c[n], y);
      } else {
        for (int64_t n = 0; n < s.d_state; ++n) {
          float* plane = s.state + n * s.d_inner + channel;
          const F next = advance(load_first(plane, lanes), dt_log2e,
                                 load(s.a + n * s.d_inner + channel), dt_x, b[n], c[n], y);
          store_first(plane, next, lanes);
        }
      }
      tile.y[i] = y;
    }
    put_out(s, channel, lanes, token, count, tile);
  }
  if constexpr (kStates > 0) {
    KRAIT_UNROLL
    for (int n = 0; n < kStates; ++n) store_first(s.state + n * s.d_inner + channel, h[n], lanes);
  }
}

constexpr int kStepVectors = 4;

// One token (decode): every state is used once, so memory sets the pace. Neighbouring channels go
// together and the next ones are asked for ahead: the planes are too many streams for the processor
// to foresee.
template <int kVectors>
KRAIT_INLINE void step_lanes(const Scan& s, int64_t channel, int64_t lanes) {
  constexpr int64_t kChannels = kVectors * kLanes;
  Tile tile[kVectors];
  F y[kVectors];
  KRAIT_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    find_steps(s, channel + v * kLanes, lanes, 0, 1, tile[v]);
    y[v] = zero();
  }
  for (int64_t n = 0; n < s.d_state; ++n) {
    float* state = s.state + n * s.d_inner + channel;
    const float* a = s.a + n * s.d_inner + channel;
    KRAIT_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      prefetch(state + kChannels + v * kLanes);
      prefetch(a + kChannels + v * kLanes);
      const F h = advance(load_first(state + v * kLanes, lanes), tile[v].dt_log2e[0],
                          load(a + v * kLanes), tile[v].dt_x[0], s.b[n], s.c[n], y[v]);
      store_first(state + v * kLanes, h, lanes);
    }
  }
  KRAIT_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    tile[v].y[0] = y[v];
    put_out(s, channel + v * kLanes, lanes, 0, 1, tile[v]);
  }
}

void step_channels(const Scan& s) {
  int64_t channel = s.first;
  for (; channel + kStepVectors * kLanes <= s.last; channel += kStepVectors * kLanes)
    step_lanes<kStepVectors>(s, channel, kLanes);
  for (; channel < s.last; channel += kLanes)
    step_lanes<1>(s, channel, s.last - channel < kLanes ? s.last - channel : kLanes);
}

template <int kStates>
void scan_channels(const Scan& s) {
  for (int64_t channel = s.first; channel < s.last; channel += kLanes)
    scan_lanes<kStates>(s, channel, s.last - channel < kLanes ? s.last - channel : kLanes);
}

}  // namespace

void selective_scan(const Scan& s) noexcept {
  if (s.tokens == 1) return step_channels(s);
  if (s.d_state == 16) return scan_channels<16>(s);
  scan_channels<0>(s);
}

}  // namespace krait::cpu::KRAIT_ISA
