// A model as a GGUF file describes it: the inverse of config_gguf and of the names.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/model.h"

namespace krait {

// One tensor of the file.
struct GgufWeight {
  enum class Source {
    values,  // those of the checkpoint's tensor `canonical`
    decay,   // decay_values() of it
    zeros    // the checkpoint has none: a bias that adds nothing
  };
  std::string canonical;   // "layers.3.mixer.in_proj.weight"
  std::string name;        // "blk.3.ssm_in.weight"
  Shape shape;             // a matrix: as in the checkpoint; others: as many elements
  bool is_matrix = false;  // the weight of a product, of any type; the others are always float32
  Source source = Source::values;
};

struct GgufLayout {
  nlohmann::ordered_json metadata;  // "general.architecture" and the keys of that architecture
  std::vector<GgufWeight> weights;
};

// Throws InputError naming what the model has and GGUF cannot say: biases of in_proj and out_proj,
// limits of dt, a mixer without a norm or with one before the gate, D of every channel, layers of
// different sizes. Also throws it for a tensor that is missing or has another shape. What other
// programs would read differently, or not at all, goes to `warn`.
GgufLayout gguf_layout(const Checkpoint& checkpoint, const ModelConfig& config, const Warn& warn);

}  // namespace krait
