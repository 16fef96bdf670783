#include "models/weight_names.h"

#include <array>
#include <utility>

#include "krait/error.h"
#include "models/config_gguf.h"

namespace krait {
namespace {

// Canonical start of a name and how checkpoints spell it, most common first.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kSpellings = {{
    {"embedding.", "backbone.embeddings."},
    {"embedding.", "backbone.embedding."},
    {"layers.", "backbone.layers."},
    {"norm_f.", "backbone.norm_f."},
    {"lm_head.", "lm_head."},
    {"embedding.", "model.backbone.embedding."},
    {"layers.", "model.backbone.layers."},
    {"norm_f.", "model.backbone.norm_f."},
    {"lm_head.", "model.lm_head."},
    {"embedding.", "lm_head."},  // a tied matrix stored under the head's name alone
}};

// The same for GGUF: whole models, then what follows "layers.3." and "blk.3.".
using Spelling = std::pair<std::string_view, std::string_view>;
constexpr std::array<Spelling, 3> kGgufSpellings = {{
    {"embedding.", "token_embd."},
    {"norm_f.", "output_norm."},
    {"lm_head.", "output."},
}};
constexpr std::array<Spelling, 10> kGgufLayerSpellings = {{
    {"norm.", "attn_norm."},
    {"mixer.in_proj.", "ssm_in."},
    {"mixer.conv1d.", "ssm_conv1d."},
    {"mixer.x_proj.", "ssm_x."},
    {"mixer.dt_proj.", "ssm_dt."},
    {"mixer.dt_bias", "ssm_dt.bias"},
    {"mixer.A", "ssm_a"},  // A itself; there is no A_log
    {"mixer.D", "ssm_d"},
    {"mixer.norm.", "ssm_norm."},
    {"mixer.out_proj.", "ssm_out."},
}};

template <size_t kCount>
std::string respell(std::string_view name, const std::array<Spelling, kCount>& table) {
  for (const auto& [canonical, spelling] : table)
    if (name.starts_with(canonical))
      return std::string(spelling) + std::string(name.substr(canonical.size()));
  return std::string(name);
}

bool matches(const Shape& found, const Shape& expected) {
  if (found.size() != expected.size()) return false;
  for (size_t i = 0; i < found.size(); ++i)
    if (expected[i] >= 0 && found[i] != expected[i]) return false;
  return true;
}

std::string describe(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
  return text + "]";
}

}  // namespace

std::string gguf_name(std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return respell(name, kGgufSpellings);
  const size_t number_end = name.find('.', kLayers.size());
  return "blk." + std::string(name.substr(kLayers.size(), number_end + 1 - kLayers.size())) +
         respell(name.substr(number_end + 1), kGgufLayerSpellings);
}

std::string layer_name(int64_t layer, std::string_view name) {
  return "layers." + std::to_string(layer) + "." + std::string(name);
}

Weights::Weights(const Checkpoint& checkpoint)
    : checkpoint_(checkpoint), gguf_names_(is_gguf_config(checkpoint.config())) {}

std::string Weights::stored_name(std::string_view name) const {
  if (gguf_names_) return gguf_name(name);
  std::string first;
  for (const auto& [canonical, spelling] : kSpellings) {
    if (!name.starts_with(canonical)) continue;
    std::string stored = std::string(spelling) + std::string(name.substr(canonical.size()));
    if (checkpoint_.find(stored)) return stored;
    if (first.empty()) first = std::move(stored);
  }
  return first;
}

const Tensor* Weights::find(std::string_view name) const {
  return checkpoint_.find(stored_name(name));
}

const Tensor* Weights::find(int64_t layer, std::string_view name) const {
  return find(layer_name(layer, name));
}

const Tensor& Weights::require(std::string_view name, const Shape& shape) const {
  const std::string stored = stored_name(name);
  const Tensor* tensor = checkpoint_.find(stored);
  if (!tensor)
    throw InputError(checkpoint_.source() + ": tensor " + stored + " is missing; expected shape " +
                     describe(shape));
  if (!matches(tensor->shape, shape))
    throw InputError(checkpoint_.file_of(stored) + ": tensor " + stored + " has shape " +
                     to_string(tensor->shape) + "; expected " + describe(shape));
  return *tensor;
}

std::string Weights::decay_name(int64_t layer) const {
  return layer_name(layer, gguf_names_ ? "mixer.A" : "mixer.A_log");
}

// Programs that rewrite GGUF files drop outermost dimensions of 1: [1, 64] comes back as [64].
const Tensor& Weights::require_per_head(std::string_view name, int64_t n_heads) const {
  const Tensor* tensor = find(name);
  const bool is_vector = !gguf_names_ || (tensor && tensor->shape == Shape{1});
  return require(name, is_vector ? Shape{n_heads} : Shape{n_heads, 1});
}

const Tensor& Weights::require_gated_norm(int64_t layer, int64_t channels) const {
  constexpr std::string_view kNorm = "mixer.norm.weight";
  const std::optional<int64_t> groups = norm_groups(layer);
  if (!groups) return require(layer, kNorm, {channels});
  if (channels % *groups != 0) return require(layer, kNorm, {1, channels});
  return require(layer, kNorm, {*groups, channels / *groups});
}

std::optional<int64_t> Weights::norm_groups(int64_t layer) const {
  const Tensor* norm = gguf_names_ ? find(layer, "mixer.norm.weight") : nullptr;
  if (!norm || norm->shape.size() != 2) return std::nullopt;
  return norm->shape[0];
}

const Tensor& Weights::require_conv(int64_t layer, int64_t channels, int64_t d_conv) const {
  constexpr std::string_view kTaps = "mixer.conv1d.weight";
  return gguf_names_ ? require(layer, kTaps, {channels, d_conv})
                     : require(layer, kTaps, {channels, 1, d_conv});
}

const Tensor& Weights::require(int64_t layer, std::string_view name, const Shape& shape) const {
  return require(layer_name(layer, name), shape);
}

}  // namespace krait
