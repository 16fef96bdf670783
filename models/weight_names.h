// The names under which each weight is found in the wild, by canonical name.
//   Hugging Face  backbone.embeddings.weight   backbone.layers.3.mixer.in_proj.weight
//   mamba_ssm     backbone.embedding.weight    (the rest as Hugging Face)
//   Mistral       model.backbone.… and model.lm_head.weight (the rest as mamba_ssm)
//   GGUF          token_embd.weight            blk.3.ssm_in.weight
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "krait/checkpoint.h"

namespace krait {

// Finds weights of one checkpoint and checks their shapes. Canonical names are those of mamba_ssm
// without the "backbone." prefix: "embedding.weight", "norm_f.weight", "lm_head.weight", and within
// a layer "norm.weight", "mixer.in_proj.weight", …
class Weights {
 public:
  explicit Weights(const Checkpoint& checkpoint);

  // nullptr when the checkpoint has no such tensor.
  const Tensor* find(std::string_view name) const;
  const Tensor* find(int64_t layer, std::string_view name) const;

  // Throws InputError naming the tensor and the file when it is missing or has another shape. A
  // dimension of -1 takes any size.
  const Tensor& require(std::string_view name, const Shape& shape) const;
  const Tensor& require(int64_t layer, std::string_view name, const Shape& shape) const;

  // The canonical name of what a layer's A is read from: "layers.3.mixer.A_log", or
  // "layers.3.mixer.A" where A itself is stored (GGUF).
  std::string decay_name(int64_t layer) const;

  // One value for every head: [n_heads], or [n_heads, 1] (GGUF). -1 takes any number.
  const Tensor& require_per_head(std::string_view name, int64_t n_heads) const;

  // The weight of a layer's gated norm over `channels`: [channels], or [n_groups, channels /
  // n_groups] (GGUF).
  const Tensor& require_gated_norm(int64_t layer, int64_t channels) const;

  // The groups of that norm, where its shape shows them.
  std::optional<int64_t> norm_groups(int64_t layer) const;

  // The taps of a layer's convolution: [channels, 1, d_conv], or [channels, d_conv] (GGUF). -1
  // takes any.
  const Tensor& require_conv(int64_t layer, int64_t channels, int64_t d_conv) const;

  // The name in the checkpoint, for messages; the canonical one when it is absent.
  std::string stored_name(std::string_view name) const;

  const Checkpoint& checkpoint() const noexcept { return checkpoint_; }

 private:
  const Checkpoint& checkpoint_;
  bool gguf_names_;
};

// What GGUF calls a weight: "blk.3.ssm_in.weight" for "layers.3.mixer.in_proj.weight".
std::string gguf_name(std::string_view canonical);

// "layers.3.mixer.D"
std::string layer_name(int64_t layer, std::string_view name);

}  // namespace krait
