// Rows of quantised blocks into and out of the panel layouts of kernels/cpu/layout.h.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cpu/layout.h"
#include "krait/tensor.h"

namespace krait {

// Packs rows [row, row + count) of `tensor` into one panel, which is all zeros. Blocks that are
// stored in the type of the packing are moved as they are, everything else is quantised. Throws
// InputError naming `name` for values or scales that the type cannot hold.
void pack_quantised(const Tensor& tensor, cpu::Packing packing, int64_t row, int64_t count,
                    std::byte* panel, const std::string& name);

// Row r of a panel as float32, with the bits that dequantize_block gives.
void unpack_quantised(const std::byte* panel, cpu::Packing packing, int64_t cols, int64_t r,
                      float* out) noexcept;

}  // namespace krait
