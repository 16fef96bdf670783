// The CUDA backend: memory of one GPU, and one stream in which the kernels of kernels/cuda run.
#pragma once

#include <cstdint>
#include <memory>

#include "krait/backend.h"

namespace krait {

// `device` is one of cuda::list_gpus(); `threads` of the host pack the weights. Throws Failure when
// the GPU cannot be used.
std::unique_ptr<Backend> make_cuda_backend(int32_t device, int32_t threads, DType act);

}  // namespace krait
