// The roofs of a GPU.
#pragma once

#include "kernels/cuda/stream.h"

namespace krait::cuda {

double measure_bandwidth(Stream stream);      // bytes per second read from memory
double measure_multiply_adds(Stream stream);  // per second, of bf16 with float32 sums

}  // namespace krait::cuda
