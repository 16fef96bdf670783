// Weight matrices into the order of kernels/cuda/layout.h, and single rows back out of it. All of
// this is host memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cuda/layout.h"
#include "krait/tensor.h"

namespace krait::cuda {

Format format_of(DType type) noexcept;  // `type` is a weight type
DType dtype_of(Format format) noexcept;

// Row tiles [first, last) of `tensor` [rows, cols], the first of them at the start of `tiles` and
// `scales`. Different tiles may be packed at the same time. `name` is for messages.
void pack_tiles(const Tensor& tensor, Format format, int64_t first, int64_t last, std::byte* tiles,
                std::byte* scales, const std::string& name);

// Row `row` of a packed matrix as float32.
void unpack_row(const std::byte* tiles, const std::byte* scales, Format format, int64_t rows,
                int64_t cols, int64_t row, float* out);

}  // namespace krait::cuda
