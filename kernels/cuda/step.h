// Fused steps: a whole mixer for a few sequences of one token each, in three or four kernels with
// nothing but what they exchange in memory. The same bits as the operations of kernels.h one by
// one.
#pragma once

#include "kernels/cuda/kernels.h"

namespace krait::cuda {

// residual[t] += mixer(norm(residual[t])).
struct BlockStep {
  Rows residual;
  int32_t d_model = 0;
  const float* norm = nullptr;
  float norm_eps = 0;
  bool round = false;  // --act bf16
};

// Mamba-1: in_proj -> x, z; conv, SiLU -> x; x_proj -> dt, B, C; dt_proj; scan -> x; out_proj.
struct Mamba1Step {
  BlockStep block;
  Weights in_proj, x_proj, dt_proj, out_proj;
  const float* in_bias = nullptr;   // or null
  const float* out_bias = nullptr;  // or null
  float dt_b_c_eps = -1;            // Falcon-Mamba's norm of dt, B and C; negative: none
  Conv conv;                        // x and out are where x goes: columns [0, d_inner) of xz
  Scan scan;                        // b and c lie in dt_b_c; dt is not used
  Rows xz, dt_b_c;
};

// Mamba-2: in_proj -> z, xBC, dt; conv, SiLU -> xBC; scan -> x; gate and norm; out_proj.
struct Mamba2Step {
  BlockStep block;
  Weights in_proj, out_proj;
  const float* in_bias = nullptr;
  const float* out_bias = nullptr;
  Conv conv;  // x and out: columns [d_inner, d_inner + conv_dim) of zxbcdt
  Ssd ssd;
  Rows zxbcdt;
  bool gated_norm = false, norm_before_gate = false;
  const float* gate_norm = nullptr;
  float gate_norm_eps = 0;
};

// False, with nothing started, for more tokens or larger rows than the kernels take, or segments of
// more than one token: the caller takes the separate operations.
bool mamba1_step(Stream stream, const Mamba1Step& step) noexcept;
bool mamba2_step(Stream stream, const Mamba2Step& step) noexcept;

}  // namespace krait::cuda
