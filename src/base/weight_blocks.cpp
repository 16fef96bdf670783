#include "src/base/weight_blocks.h"

#include <cmath>

#include "krait/error.h"
#include "src/base/quantize_blocks.h"
#include "src/base/weight_values.h"

namespace krait {
namespace {

// A file may hold any scales; those that are not finite would make a product NaN. `first` is the
// block's first element.
void require_finite_scales(const BlockParts& parts, const Tensor& tensor, int64_t first,
                           const std::string& name) {
  for (const uint16_t scale : {parts.d, parts.dmin})
    if (!std::isfinite(f32_from_f16(scale)))
      throw InputError("tensor " + name + " has a " + std::string(dtype_name(tensor.dtype)) +
                       " block whose scale is " + std::to_string(f32_from_f16(scale)) + ", at " +
                       place_of(tensor, first) + "; expected a finite number");
}

}  // namespace

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
  const std::span values(values_.data(), static_cast<size_t>(cols));
  copy_to_f32(tensor_, row * cols, cols, values.data(), name_);
  require_storable(values, type_, tensor_, row * cols, name_);
}

void BlockRows::read(int64_t row, int64_t block) {
  const DTypeInfo& info = dtype_info(type_);
  if (stored_) {
    split_block(type_, tensor_.data.data() + (row * blocks_ + block) * info.block_bytes, parts_);
    require_finite_scales(parts_, tensor_, (row * blocks_ + block) * info.block_elements, name_);
  } else {
    quantize_block(type_, values_.data() + block * info.block_elements, parts_);
  }
}

}  // namespace krait
