// One token of the scans. Decays are powers of two: log2(e) goes into A once.
#pragma once

#include "kernels/cuda/device.h"

namespace krait::cuda {

inline constexpr int kScanParts = 4;  // lanes that share a channel of Mamba-1; see lanes.h
inline constexpr int kSsdParts = 8;   // and of Mamba-2

// A log2(e), kept finite: a step of 0 leaves a state as it is, whatever A.
KRAIT_DEVICE float decay_rate(float a) {
  const float rate = a * 0x1.715476p+0f;
  return rate < -3e38f ? -3e38f : rate;
}

// h = decay h + dt x B, and y += h C.
KRAIT_DEVICE void advance(float& h, float decay, float dt_x, float b, float c, float& y) {
  h = multiply_add(decay, h, dt_x * b);
  y = multiply_add(h, c, y);
}

// Mamba-1: every state has its own rate.
KRAIT_DEVICE float scan_dt(float dt, float bias) { return softplus(dt + bias); }
KRAIT_DEVICE void scan_state(float& h, float rate, float dt, float dt_x, float b, float c,
                             float& y) {
  advance(h, exp2_fast(dt * rate), dt_x, b, c, y);
}
KRAIT_DEVICE float scan_output(float y, float d, float x, float z) {
  return multiply_add(d, x, y) * silu(z);
}

// Mamba-2: a head has one decay.
KRAIT_DEVICE float ssd_dt(float dt, float bias, float dt_min, float dt_max) {
  return fminf(dt_max, fmaxf(dt_min, softplus(dt + bias)));
}
KRAIT_DEVICE float ssd_decay(float dt, float rate) { return exp2_fast(dt * rate); }
KRAIT_DEVICE float ssd_output(float y, float d, float x) { return multiply_add(d, x, y); }

}  // namespace krait::cuda
