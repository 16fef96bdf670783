// The contract of a mixer: the part of a residual block that moves information between tokens.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "krait/backend.h"
#include "krait/model.h"
#include "models/weight_names.h"

namespace krait {

// Activation memory that mixers share, one layer at a time: [tokens, cols] pieces of one buffer.
class Scratch {
 public:
  Scratch(float* data, int64_t tokens) : data_(data), tokens_(tokens) {}
  Rows take(int64_t cols) {
    const Rows rows{data_, tokens_, cols, cols};
    data_ += tokens_ * cols;
    return rows;
  }

 private:
  float* data_;
  int64_t tokens_;
};

class Mixer {
 public:
  virtual ~Mixer() = default;

  // Floats of scratch memory per token.
  virtual int64_t scratch_cols() const noexcept = 0;

  // residual[t, :] += mixer(u[t, :]), advancing the states of the segments' slots.
  virtual void forward(Backend& backend, std::span<const Segment> segments, StateView states,
                       Rows u, Rows residual, Scratch scratch) const = 0;
};

// What a mixer needs to load its weights and publish its state planes.
class Loader {
 public:
  Loader(Backend& backend_in, const Checkpoint& checkpoint, std::optional<DType> dtype_in,
         StateLayout& layout_in)
      : weights(checkpoint), layout(layout_in), backend_(backend_in), dtype_(dtype_in) {}

  // A matrix product's weight, converted to the type asked for.
  std::unique_ptr<Matrix> matrix(std::string_view name, const Shape& shape);

  // float32 values of a tensor of any rank; `shape` as Weights::require.
  std::vector<float> values(std::string_view name, const Shape& shape);
  std::unique_ptr<Vector> vector(std::string_view name, const Shape& shape);
  // A of a layer's recurrence, below or equal to zero, whether the checkpoint stores A itself or
  // A_log = log(-A). Throws InputError for a stored A above zero.
  std::vector<float> decay(int64_t layer, const Shape& shape);
  // nullptr when the checkpoint has no such tensor.
  std::unique_ptr<Vector> optional_vector(std::string_view name, const Shape& shape);
  std::unique_ptr<Vector> vector(std::span<const float> values) { return backend_.vector(values); }

  Weights weights;
  StateLayout& layout;
  int64_t parameters = 0;                 // loaded so far
  int64_t matrix_bytes = 0;               // of all matrices loaded so far
  std::array<int64_t, kDTypeCount> bytes_of{};  // the same by DType

 private:
  Backend& backend_;
  std::optional<DType> dtype_;
};

}  // namespace krait
