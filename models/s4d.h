// The S4D mixer, the time-invariant twin of Mamba-1: Gu, Gupta, Goel and Re, "On the
// Parameterization and Initialization of Diagonal State Space Models" (2022). The block around it
// (in_proj, convolution, gate, out_proj) is that of models/mamba1.h; A, B, C and the step size do
// not depend on the input. `S4DMixer` in tools/train/s4d.py.
//
//   symbol in the paper   here
//   Delta                 dt = exp(log_dt) [d_inner]
//   A                     -exp(log_A_real) + i A_imag [d_inner, pairs]
//   B                     1: C has absorbed it
//   C                     [d_inner, pairs], real and imaginary parts
//   N                     d_state = 2 pairs: conjugate pairs, of which one is kept
//
// Two forms of the same mixer. As a recurrence (Backend::s4d_scan),
//   h[t] = exp(dt A) h[t-1] + x[t],   y[t] = 2 Re(sum_p C B' h[t]) + D x[t],
// with B' = (exp(dt A) - 1) / A of the zero-order hold kept out of the state; from an empty state
// also as a convolution over the whole sequence, y = K * x, because the kernel K does not depend on
// the input either.
#pragma once

#include <memory>

#include "krait/model.h"
#include "models/mixer.h"

namespace krait {

// The sizes that the tensors of `layer` have. Throws InputError where they do not fit together.
S4dConfig s4d_config(const Weights& weights, int64_t layer, int64_t d_model);

// Loads the mixer of `layer` and adds its planes "conv" [d_conv-1, d_inner] and "ssm"
// [d_state, d_inner] to the loader's layout.
std::unique_ptr<Mixer> load_mixer(Loader& loader, const S4dConfig& config, int64_t layer,
                                  int64_t d_model);

// What the recurrence needs of a layer, as S4dWeights lays it out: [d_state, d_inner], real parts
// of all modes, then imaginary parts.
struct S4dModes {
  int64_t d_inner = 0, pairs = 0;
  std::vector<float> decay, c, d;
};

// Of log_dt [d_inner], log_A_real and A_imag [d_inner, pairs], C [d_inner, pairs, 2].
struct S4dParameters {
  std::vector<float> log_dt, log_a_real, a_imag, c, d;
};
S4dModes s4d_modes(const S4dParameters& parameters, int64_t d_inner, int64_t pairs);

// The convolution form. x [tokens, d_inner] becomes y, without the gate; `state` [d_state, d_inner]
// is that before x and becomes that after it. Rows of x are `stride` floats apart.
void s4d_convolve(const S4dModes& modes, float* state, float* x, int64_t stride, int64_t tokens);

}  // namespace krait
