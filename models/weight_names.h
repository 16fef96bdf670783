// The names under which each weight is found in the wild, by canonical name.
//   Hugging Face  backbone.embeddings.weight   backbone.layers.3.mixer.in_proj.weight
//   mamba_ssm     backbone.embedding.weight    (the rest as Hugging Face)
//   Mistral       model.backbone.… and model.lm_head.weight (the rest as mamba_ssm)
#pragma once

#include <string>
#include <string_view>

#include "krait/checkpoint.h"

namespace krait {

// Finds weights of one checkpoint and checks their shapes. Canonical names are those of mamba_ssm
// without the "backbone." prefix: "embedding.weight", "norm_f.weight", "lm_head.weight", and within
// a layer "norm.weight", "mixer.in_proj.weight", …
class Weights {
 public:
  explicit Weights(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // nullptr when the checkpoint has no such tensor.
  const Tensor* find(std::string_view name) const;
  const Tensor* find(int64_t layer, std::string_view name) const;

  // Throws InputError naming the tensor and the file when it is missing or has another shape. A
  // dimension of -1 takes any size.
  const Tensor& require(std::string_view name, const Shape& shape) const;
  const Tensor& require(int64_t layer, std::string_view name, const Shape& shape) const;

  // The name in the checkpoint, for messages; the canonical one when it is absent.
  std::string stored_name(std::string_view name) const;

  const Checkpoint& checkpoint() const noexcept { return checkpoint_; }

 private:
  const Checkpoint& checkpoint_;
};

// "layers.3.mixer.D"
std::string layer_name(int64_t layer, std::string_view name);

}  // namespace krait
