// What a model will take of a backend's memory.
#include "krait/error.h"
#include "krait/model.h"
#include "models/mixer.h"
#include "models/weight_names.h"
#include "models/weight_policy.h"

namespace krait {
namespace {

// All tensors of a layer that any mixer has, but for its A.
constexpr const char* kLayerWeights[] = {"norm.weight",         "mixer.in_proj.weight",
                                         "mixer.in_proj.bias",  "mixer.conv1d.weight",
                                         "mixer.conv1d.bias",   "mixer.x_proj.weight",
                                         "mixer.dt_bias",       "mixer.dt_proj.weight",
                                         "mixer.dt_proj.bias",  "mixer.D",
                                         "mixer.norm.weight",   "mixer.out_proj.weight",
                                         "mixer.out_proj.bias", "mixer.log_A_real",
                                         "mixer.A_imag",        "mixer.C"};

bool is_matrix(std::string_view canonical) noexcept {
  return canonical.ends_with("_proj.weight") || canonical == "embedding.weight" ||
         canonical == "lm_head.weight";
}

}  // namespace

int64_t weight_bytes(const Backend& backend, const Checkpoint& checkpoint,
                     const ModelConfig& config, std::optional<DType> dtype) {
  const Weights weights(checkpoint);
  int64_t bytes = 0;
  const auto add = [&](const std::string& name) {
    const Tensor* tensor = weights.find(name);
    if (!tensor) return;
    bytes += is_matrix(name) && tensor->shape.size() == 2
                 ? backend.matrix_bytes(tensor->shape[0], tensor->shape[1],
                                        matrix_type(*tensor, name, dtype))
                 : tensor->elements() * static_cast<int64_t>(sizeof(float));
  };
  add("embedding.weight");
  if (!config.tied_head) add("lm_head.weight");
  add("norm_f.weight");
  for (int64_t layer = 0; layer < std::ssize(config.layers); ++layer) {
    for (const char* part : kLayerWeights) add(layer_name(layer, part));
    add(weights.decay_name(layer));
  }
  return bytes;
}

int64_t workspace_bytes(const ModelConfig& config, int64_t tokens, int64_t logit_rows) {
  int64_t scratch = 0;
  for (const LayerConfig& layer : config.layers)
    scratch = std::max(scratch, std::visit([](const auto& c) { return scratch_floats(c); }, layer));
  return (tokens * (2 * row_stride(config.d_model) + scratch) +
          logit_rows * config.embedding_rows) *
         static_cast<int64_t>(sizeof(float));
}

}  // namespace krait
