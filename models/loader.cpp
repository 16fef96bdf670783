#include <cmath>
#include <utility>

#include "krait/error.h"
#include "models/mixer.h"
#include "models/weight_policy.h"
#include "src/base/weight_values.h"

namespace krait {
namespace {

// What is wrong with a tensor, under the name of the checkpoint.
template <class Work>
auto in_file(const Weights& weights, const Work& work) {
  try {
    return work();
  } catch (const InputError& e) {
    throw InputError(weights.checkpoint().source() + ": " + e.what());
  }
}

std::vector<float> finite_values(const Weights& weights, const Tensor& tensor,
                                 const std::string& stored) {
  return in_file(weights, [&] {
    std::vector<float> values(tensor.elements());
    copy_to_f32(tensor, 0, tensor.elements(), values.data(), stored);
    require_storable(values, DType::f32, tensor, 0, stored);
    return values;
  });
}

}  // namespace

DType matrix_type(const Tensor& tensor, std::string_view name, std::optional<DType> dtype) {
  if (dtype) return loaded_weight_type(name, *dtype);
  return is_weight_type(tensor.dtype)  ? tensor.dtype
         : is_block_type(tensor.dtype) ? DType::q8_0  // the nearest with a product
                                       : DType::f32;
}

std::unique_ptr<Matrix> Loader::matrix(std::string_view name, const Shape& shape) {
  const Tensor& tensor = weights.require(name, shape);
  const std::string stored = weights.stored_name(name);
  const DType type = matrix_type(tensor, name, dtype_);
  std::unique_ptr<Matrix> m =
      in_file(weights, [&] { return backend_.matrix(tensor, type, stored); });
  weights.checkpoint().release(tensor);
  parameters += tensor.elements();
  matrix_bytes += m->bytes;
  matrix_elements += m->rows * m->cols;
  bytes_of[static_cast<size_t>(m->dtype)] += m->bytes;
  return m;
}

std::vector<float> Loader::values(std::string_view name, const Shape& shape) {
  const Tensor& tensor = weights.require(name, shape);
  parameters += tensor.elements();
  return finite_values(weights, tensor, weights.stored_name(name));
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
  std::vector<float> a = finite_values(weights, *tensor, stored);
  if (name.ends_with("A_log")) {
    for (size_t i = 0; i < a.size(); ++i) {
      const float log = std::exchange(a[i], -std::exp(a[i]));
      if (std::isinf(a[i]))
        throw InputError(weights.checkpoint().source() + ": tensor " + stored + " holds " +
                         std::to_string(log) + " at " + place_of(*tensor, static_cast<int64_t>(i)) +
                         ", whose exponential no float32 can hold");
    }
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

Conv load_conv(Loader& loader, int64_t layer, int64_t channels, int64_t d_conv) {
  const Shape& shape = loader.weights.require_conv(layer, channels, d_conv).shape;
  const std::vector<float> values = loader.values(layer_name(layer, "mixer.conv1d.weight"), shape);
  return {loader.vector(transpose(values, channels, d_conv)),
          loader.optional_vector(layer_name(layer, "mixer.conv1d.bias"), {channels}),
          static_cast<int32_t>(d_conv)};
}

std::vector<float> transpose(const std::vector<float>& from, int64_t channels, int64_t cols) {
  std::vector<float> to(from.size());
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t k = 0; k < cols; ++k) to[k * channels + c] = from[c * cols + k];
  return to;
}

}  // namespace krait
