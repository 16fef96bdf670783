// The contract of a mixer: the part of a residual block that moves information between tokens.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "krait/backend.h"
#include "krait/model.h"
#include "models/weight_names.h"

namespace krait {

// Activation memory that mixers share, one layer at a time: pieces of one buffer with
// row_stride(cols) floats per token.
class Scratch {
 public:
  Scratch(float* data, int64_t tokens) : data_(data), tokens_(tokens) {}
  Rows take(int64_t cols) {
    const Rows rows{data_, tokens_, cols, row_stride(cols)};
    data_ += tokens_ * rows.stride;
    return rows;
  }

 private:
  float* data_;
  int64_t tokens_;
};

// The norm in front of a mixer.
struct BlockNorm {
  const Vector* weight = nullptr;
  float eps = 0;
};

class Mixer {
 public:
  virtual ~Mixer() = default;

  // Floats of scratch memory per token.
  virtual int64_t scratch_floats() const noexcept = 0;

  // residual[t, :] += mixer(norm(residual[t, :])) as the backend's fused step; false, with nothing
  // done, where it has none.
  virtual bool step(Backend& backend, const BlockNorm& norm, std::span<const Segment> segments,
                    StateView states, Rows residual, Scratch scratch) const = 0;

  // residual[t, :] += mixer(u[t, :]), advancing the states of the segments' slots.
  virtual void forward(Backend& backend, std::span<const Segment> segments, StateView states,
                       Rows u, Rows residual, Scratch scratch) const = 0;
};

// The type that a weight matrix is held in; `dtype` as load_model's.
DType matrix_type(const Tensor& tensor, std::string_view name, std::optional<DType> dtype);

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
  // A of a layer's recurrence.
  std::vector<float> decay(int64_t layer, const Shape& shape);
  // nullptr when the checkpoint has no such tensor.
  std::unique_ptr<Vector> optional_vector(std::string_view name, const Shape& shape);
  std::unique_ptr<Vector> vector(std::span<const float> values) { return backend_.vector(values); }

  Weights weights;
  StateLayout& layout;
  int64_t parameters = 0;                       // loaded so far
  int64_t matrix_bytes = 0;                     // of all matrices loaded so far
  std::array<int64_t, kDTypeCount> bytes_of{};  // the same by DType
  int64_t matrix_elements = 0;                  // the same in weights

 private:
  Backend& backend_;
  std::optional<DType> dtype_;
};

// The causal convolution of a mixer: its taps [d_conv, channels] and bias, if any.
struct Conv {
  std::unique_ptr<Vector> taps, bias;
  int32_t d_conv = 0;

  ConvWeights weights() const noexcept { return {taps.get(), bias.get(), d_conv}; }
};
Conv load_conv(Loader& loader, int64_t layer, int64_t channels, int64_t d_conv);

// A of a recurrence, below or equal to zero, from the tensor of that Weights::decay_name: A itself,
// or A_log = log(-A). Throws InputError for a stored A above zero.
std::vector<float> decay_values(const Weights& weights, const std::string& name);

// Where a mixer's planes begin in a slot, in floats.
struct PlaneOffsets {
  int64_t conv = 0, ssm = 0;
};
inline StateView plane_at(StateView states, int64_t offset) noexcept {
  return {states.data + offset, states.slot_stride};
}
// What the fused steps of all mixers are given.
inline BlockStep block_step(const BlockNorm& norm, std::span<const Segment> segments,
                            StateView states, const PlaneOffsets& planes, Rows residual) noexcept {
  return {segments,
          residual,
          norm.weight,
          norm.eps,
          plane_at(states, planes.conv),
          plane_at(states, planes.ssm)};
}
// Mixer::scratch_floats of a mixer with that config.
int64_t scratch_floats(const Mamba1Config& config) noexcept;
int64_t scratch_floats(const Mamba2Config& config) noexcept;
int64_t scratch_floats(const S4dConfig& config) noexcept;

PlaneOffsets add_planes(StateLayout& layout, const Mamba1Config& config, int64_t layer);
PlaneOffsets add_planes(StateLayout& layout, const Mamba2Config& config, int64_t layer);
PlaneOffsets add_planes(StateLayout& layout, const S4dConfig& config, int64_t layer);

// Largest sizes that a mixer takes; beyond them only a broken file goes.
inline constexpr int64_t kMaxConv = 64;
inline constexpr int64_t kMaxState = 1 << 16;
inline constexpr int64_t kMaxInner = 1 << 28;

// Throws InputError "`what` is …; expected 1 to `most`".
void require_range(const std::string& what, int64_t found, int64_t most);

// [channels, cols] -> [cols, channels], so that channels are the lanes.
std::vector<float> transpose(const std::vector<float>& from, int64_t channels, int64_t cols);

}  // namespace krait
