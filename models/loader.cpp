#include <cmath>

#include "krait/error.h"
#include "models/mixer.h"
#include "models/weight_policy.h"

namespace krait {

std::unique_ptr<Matrix> Loader::matrix(std::string_view name, const Shape& shape) {
  const Tensor& tensor = weights.require(name, shape);
  const std::string stored = weights.stored_name(name);
  const DType own = is_weight_type(tensor.dtype)  ? tensor.dtype
                    : is_block_type(tensor.dtype) ? DType::q8_0  // the nearest with a product
                                                  : DType::f32;
  const DType type = dtype_ ? loaded_weight_type(name, *dtype_) : own;
  std::unique_ptr<Matrix> m = backend_.matrix(tensor, type, stored);
  weights.checkpoint().release(tensor);
  parameters += tensor.elements();
  matrix_bytes += m->bytes;
  matrix_elements += m->rows * m->cols;
  bytes_of[static_cast<size_t>(m->dtype)] += m->bytes;
  return m;
}

std::vector<float> Loader::values(std::string_view name, const Shape& shape) {
  const Tensor& tensor = weights.require(name, shape);
  std::vector<float> values(tensor.elements());
  copy_to_f32(tensor, 0, tensor.elements(), values.data(), weights.stored_name(name));
  parameters += tensor.elements();
  return values;
}

std::vector<float> Loader::decay(int64_t layer, const Shape& shape) {
  const std::string name = weights.decay_name(layer);
  parameters += weights.require(name, shape).elements();
  return decay_values(weights, name);
}

std::unique_ptr<Vector> Loader::vector(std::string_view name, const Shape& shape) {
  return backend_.vector(values(name, shape));
}

std::unique_ptr<Vector> Loader::optional_vector(std::string_view name, const Shape& shape) {
  return weights.find(name) ? vector(name, shape) : nullptr;
}

std::vector<float> decay_values(const Weights& weights, const std::string& name) {
  const std::string stored = weights.stored_name(name);
  const Tensor* tensor = weights.find(name);
  KRAIT_CHECK(tensor);
  std::vector<float> a(tensor->elements());
  copy_to_f32(*tensor, 0, tensor->elements(), a.data(), stored);
  if (name.ends_with("A_log")) {
    for (float& value : a) value = -std::exp(value);
    return a;
  }
  for (const float value : a)
    if (!(value <= 0.0f))
      throw InputError(weights.checkpoint().source() + ": tensor " + stored + " holds " +
                       std::to_string(value) +
                       "; expected A = -exp(A_log), which is never above zero");
  return a;
}

void require_range(const std::string& what, int64_t found, int64_t most) {
  if (found < 1 || found > most)
    throw InputError(what + " is " + std::to_string(found) + "; expected 1 to " +
                     std::to_string(most));
}

std::vector<float> transpose(const std::vector<float>& from, int64_t channels, int64_t cols) {
  std::vector<float> to(from.size());
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t k = 0; k < cols; ++k) to[k * channels + c] = from[c * cols + k];
  return to;
}

}  // namespace krait
