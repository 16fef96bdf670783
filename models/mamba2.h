// The Mamba-2 mixer: Dao and Gu, "Transformers are SSMs" (2024), sections 6 and 7; `Mamba2` in
// mamba_ssm/modules/mamba2.py; `Mamba2Mixer` in transformers.
//
//   symbol in the paper   here
//   H (heads)             n_heads          dt     [T, n_heads]
//   P                     head_dim         x, z   [T, n_heads * head_dim]
//   N                     d_state          B, C   [T, n_groups * d_state]
//   A = -exp(A_log)       a [n_heads]: one decay for all states of a head
#pragma once

#include <memory>

#include "krait/model.h"
#include "models/mixer.h"

namespace krait {

// What config.json says of the two numbers whose product alone the shapes show.
struct Mamba2Groups {
  std::optional<int64_t> n_groups, d_state;
  int64_t n_groups_default = 1;  // where neither is said
};

// The sizes that the tensors of `layer` have. Throws InputError where they do not fit together, or
// not with `said`.
Mamba2Config mamba2_config(const Weights& weights, int64_t layer, int64_t d_model,
                           const Mamba2Groups& said);

// Loads the mixer of `layer` and adds its planes "conv" [d_conv-1, conv_dim] and "ssm"
// [n_heads * d_state, head_dim] to the loader's layout.
std::unique_ptr<Mixer> load_mixer(Loader& loader, const Mamba2Config& config, int64_t layer,
                                  int64_t d_model);

}  // namespace krait
