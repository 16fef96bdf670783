// Mamba-2 scan: the recurrence (not its matrix form), so that the bits do not depend on how a
// sequence was cut. The channels of a head are the lanes; a block of them is carried over the whole
// segment with its states in the first-level cache, each state loaded and stored once for a tile of
// tokens. Every output is one chain of sums in the order of the states, whatever the tile.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// What fits in the registers: vectors of channels and tokens that share a state's load.
inline constexpr bool kManyRegisters = kTokenBlock > 4;
inline constexpr int kVectors = kManyRegisters ? 2 : 1;
inline constexpr int kTokens = kManyRegisters ? 4 : 2;
inline constexpr int kVectorsOfOneToken = kManyRegisters ? 4 : 2;

// Steps and decays of one head for up to 16 tokens.
struct Steps {
  alignas(64) float dt[kLanes];
  alignas(64) float decay[kLanes];
};

KRAIT_INLINE void find_steps(const SsdScan& s, int64_t head, int64_t token, int64_t count,
                             Steps& steps) {
  alignas(64) float raw[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) raw[i] = s.dt[(token + i) * s.dt_stride + head];
  F dt = softplus(add(load(raw), set1(s.dt_bias[head])));
  dt = min(set1(s.dt_max), max(set1(s.dt_min), dt));
  store(steps.dt, dt);
  store(steps.decay, exp2_decay(mul(mul(dt, set1(0x1.715476p+0f)), set1(s.a[head]))));
}

// kCount tokens from `token` on, kWidth vectors of channels from `channel` of the head on.
template <int kWidth, int kCount, bool kWhole>
KRAIT_INLINE void scan_tile(const SsdScan& s, int64_t head, int64_t channel, int64_t lanes,
                            int64_t token, const float* dt, const float* decay) {
  const int64_t first = head * s.head_dim + channel;
  const int64_t group = head / s.heads_per_group * s.d_state;
  const float* x = s.x + token * s.x_stride + first;
  const float* b = s.b + token * s.b_stride + group;
  const float* c = s.c + token * s.c_stride + group;
  F keep[kCount], dt_x[kCount][kWidth], y[kCount][kWidth];
  KRAIT_UNROLL
  for (int t = 0; t < kCount; ++t) {
    keep[t] = set1(decay[t]);
    KRAIT_UNROLL
    for (int v = 0; v < kWidth; ++v) {
      dt_x[t][v] = mul(set1(dt[t]), get<kWhole>(x + t * s.x_stride + v * kLanes, lanes));
      y[t][v] = zero();
    }
  }
  float* state = s.state + head * s.d_state * s.head_dim + channel;
  for (int64_t n = 0; n < s.d_state; ++n, state += s.head_dim) {
    F h[kWidth];
    KRAIT_UNROLL
    for (int v = 0; v < kWidth; ++v) h[v] = get<kWhole>(state + v * kLanes, lanes);
    KRAIT_UNROLL
    for (int t = 0; t < kCount; ++t) {
      const F bn = set1(b[t * s.b_stride + n]), cn = set1(c[t * s.c_stride + n]);
      KRAIT_UNROLL
      for (int v = 0; v < kWidth; ++v) {
        h[v] = fma(keep[t], h[v], mul(dt_x[t][v], bn));
        y[t][v] = fma(h[v], cn, y[t][v]);
      }
    }
    KRAIT_UNROLL
    for (int v = 0; v < kWidth; ++v) put<kWhole>(state + v * kLanes, h[v], lanes);
  }
  KRAIT_UNROLL
  for (int t = 0; t < kCount; ++t) {
    KRAIT_UNROLL
    for (int v = 0; v < kWidth; ++v) {
      const F d = get<kWhole>(s.d + first + v * kLanes, lanes);
      const F xv = get<kWhole>(x + t * s.x_stride + v * kLanes, lanes);
      put<kWhole>(s.out + (token + t) * s.out_stride + first + v * kLanes, fma(d, xv, y[t][v]),
                  lanes);
    }
  }
}

// All tokens of the segment over one block of channels.
template <int kWidth, bool kWhole>
void scan_block(const SsdScan& s, int64_t head, int64_t channel, int64_t lanes) {
  Steps steps;
  for (int64_t token = 0; token < s.tokens; token += kLanes) {
    const int64_t count = s.tokens - token < kLanes ? s.tokens - token : kLanes;
    find_steps(s, head, token, count, steps);
    int64_t t = 0;
    if constexpr (kWidth <= kVectors)
      for (; t + kTokens <= count; t += kTokens)
        scan_tile<kWidth, kTokens, kWhole>(s, head, channel, lanes, token + t, steps.dt + t,
                                           steps.decay + t);
    for (; t < count; ++t)
      scan_tile<kWidth, 1, kWhole>(s, head, channel, lanes, token + t, steps.dt + t,
                                   steps.decay + t);
  }
}

template <int kWidth>
void scan_heads(const SsdScan& s) {
  for (int64_t head = s.first; head < s.last; ++head) {
    int64_t channel = 0;
    for (; channel + kWidth * kLanes <= s.head_dim; channel += kWidth * kLanes)
      scan_block<kWidth, true>(s, head, channel, kLanes);
    for (; channel + kLanes <= s.head_dim; channel += kLanes)
      scan_block<1, true>(s, head, channel, kLanes);
    if (channel < s.head_dim) scan_block<1, false>(s, head, channel, s.head_dim - channel);
  }
}

}  // namespace

void ssd_scan(const SsdScan& s) noexcept {
  if (s.tokens == 1) return scan_heads<kVectorsOfOneToken>(s);
  scan_heads<kVectors>(s);
}

}  // namespace krait::cpu::KRAIT_ISA
