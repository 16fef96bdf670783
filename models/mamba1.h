// The Mamba-1 mixer: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces"
// (2023), section 3; `Mamba` in mamba_ssm/modules/mamba_simple.py; `MambaMixer` in transformers.
// Falcon-Mamba (`FalconMambaMixer`) is the same with dt, B and C normalised.
//
//   symbol in the paper   here
//   D (model width)       d_model
//   E D                   d_inner          x, z   [T, d_inner]
//   N                     d_state          B, C   [T, d_state]
//   R                     dt_rank
//   Delta                 dt
//   A = -exp(A_log)       a [d_state, d_inner]
#pragma once

#include <memory>

#include "krait/model.h"
#include "models/mixer.h"

namespace krait {

// The sizes that the tensors of `layer` have. Throws InputError where they do not fit together.
Mamba1Config mamba1_config(const Weights& weights, int64_t layer, int64_t d_model);

// Loads the mixer of `layer` and adds its planes "conv" [d_conv-1, d_inner] and "ssm"
// [d_state, d_inner] to the loader's layout.
std::unique_ptr<Mixer> load_mixer(Loader& loader, const Mamba1Config& config, int64_t layer,
                                  int64_t d_model);

}  // namespace krait
