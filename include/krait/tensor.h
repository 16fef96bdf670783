// A tensor as it lies in a checkpoint file: a typed, shaped view of bytes owned by somebody else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "krait/dtype.h"

namespace krait {

using Shape = std::vector<int64_t>;  // row-major, outermost dimension first

struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  // Dense, little-endian, any alignment. Block types: blocks lie along the last dimension, which
  // is a whole number of them.
  std::span<const std::byte> data;

  int64_t elements() const noexcept;
};

// Product of the dimensions; 1 for rank 0. Dimensions are non-negative and the product fits.
int64_t element_count(const Shape& shape) noexcept;

// "[768, 1536]"
std::string to_string(const Shape& shape);

// Converts `count` elements starting at element `first` to float32; neither need be a whole number
// of blocks. Throws InputError for types
// that have no meaning as a weight (integers, bool). `name` is used in the message.
void copy_to_f32(const Tensor& tensor, int64_t first, int64_t count, float* out,
                 const std::string& name);

}  // namespace krait
