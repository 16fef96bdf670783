#include "src/base/weight_blocks.h"

#include <cmath>

#include "krait/error.h"
#include "src/base/quantize_blocks.h"

namespace krait {
namespace {

// Refuses rather than stores infinity.
void require_in_range(std::span<const float> values, float limit, DType type,
                      const std::string& name) {
  for (const float value : values)
    if (!(std::fabs(value) <= limit))
      throw InputError("tensor " + name + " holds " + std::to_string(value) + ", beyond what " +
                       std::string(dtype_name(type)) + " can hold; use --dtype bf16 or f32");
}

// A file may hold any scales; those that are not finite would make a product NaN.
void require_finite(const BlockParts& parts, DType type, const std::string& name) {
  for (const uint16_t scale : {parts.d, parts.dmin})
    if (!std::isfinite(f32_from_f16(scale)))
      throw InputError("tensor " + name + " has a " + std::string(dtype_name(type)) +
                       " block whose scale is " + std::to_string(f32_from_f16(scale)) +
                       "; expected a finite number");
}

}  // namespace

void require_f16_range(std::span<const float> values, const std::string& name) {
  require_in_range(values, 65504.0f, DType::f16, name);
}

BlockRows::BlockRows(const Tensor& tensor, DType type, const std::string& name)
    : tensor_(tensor), name_(name), type_(type), stored_(tensor.dtype == type) {
  KRAIT_CHECK(has_block_parts(type) && tensor.shape.size() == 2);
  const int64_t elements = dtype_info(type).block_elements;
  blocks_ = (tensor.shape[1] + elements - 1) / elements;
  if (!stored_) values_.resize(blocks_ * elements);
}

void BlockRows::begin(int64_t row) {
  if (stored_) return;
  const int64_t cols = tensor_.shape[1];
  copy_to_f32(tensor_, row * cols, cols, values_.data(), name_);
  require_in_range(values_, block_type_limit(type_), type_, name_);
}

void BlockRows::read(int64_t row, int64_t block) {
  const DTypeInfo& info = dtype_info(type_);
  if (stored_) {
    split_block(type_, tensor_.data.data() + (row * blocks_ + block) * info.block_bytes, parts_);
    require_finite(parts_, type_, name_);
  } else {
    quantize_block(type_, values_.data() + block * info.block_elements, parts_);
  }
}

}  // namespace krait
