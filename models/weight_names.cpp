#include "models/weight_names.h"

#include <array>
#include <utility>

#include "krait/error.h"

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

std::string layer_name(int64_t layer, std::string_view name) {
  return "layers." + std::to_string(layer) + "." + std::string(name);
}

std::string Weights::stored_name(std::string_view name) const {
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

const Tensor& Weights::require(int64_t layer, std::string_view name, const Shape& shape) const {
  return require(layer_name(layer, name), shape);
}

}  // namespace krait
