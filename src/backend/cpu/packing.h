// Weight matrices into the panel layout of kernels/cpu/layout.h, and single rows back out of it.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cpu/layout.h"
#include "krait/tensor.h"

namespace krait {

cpu::Packing packing_of(DType type) noexcept;  // `type` is a weight type

// Packs panels [first, last) of `tensor` [rows, cols] to their place in `panels`, which is all
// zeros. Different panels may be packed at the same time. `name` is for messages.
void pack_panels(const Tensor& tensor, cpu::Packing packing, int64_t first, int64_t last,
                 std::byte* panels, const std::string& name);

// Row `row` of a packed matrix as float32.
void unpack_row(const std::byte* panels, cpu::Packing packing, int64_t cols, int64_t row,
                float* out) noexcept;

}  // namespace krait
