// What a GPU can do at most: reading memory, and multiplying numbers that are in registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/stream.h"

namespace krait::cuda {

// Reads `bytes`, a multiple of 1 MiB, as the products read weights. The memory holds zeros, and
// nothing is written to `sink`.
void read_all(Stream stream, const std::byte* data, int64_t bytes, int32_t multiprocessors,
              uint32_t* sink) noexcept;

// bf16 products with float32 sums on all tensor cores; multiply_adds() is how many. Nothing is
// written to `sink`.
void multiply_add_rounds(Stream stream, int32_t multiprocessors, int32_t rounds,
                         float* sink) noexcept;
int64_t multiply_adds(int32_t multiprocessors, int32_t rounds) noexcept;

}  // namespace krait::cuda
