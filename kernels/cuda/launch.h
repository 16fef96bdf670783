// Starting kernels (see device.h), on a GPU or on its twin.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.h"
#include "kernels/cuda/stream.h"
#if !defined(__CUDACC__)
#include "kernels/cuda/twin/recording.h"
#endif

namespace krait::cuda {

struct Shape {
  int64_t blocks_x = 1;
  int64_t blocks_y = 1;
  int threads = 0;          // per block, a multiple of kWarp, at most Kernel::kThreads
  size_t shared_bytes = 0;  // of shared_memory()
};

#if defined(__CUDACC__)

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocks)
    run_kernel(const __grid_constant__ Kernel kernel) {
  kernel();
}

// Whether the GPU can begin a kernel while the one before it ends (compute capability 9.0).
inline bool kernels_overlap() noexcept {
  static const bool can = [] {
    int device = 0, major = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major >= 9;
  }();
  return can;
}

inline int multiprocessors() noexcept {
  static const int count = [] {
    int device = 0, number = 1;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&number, cudaDevAttrMultiProcessorCount, device);
    return number;
  }();
  return count;
}

// The architecture that the kernel's code for this GPU was compiled for: 80, 90; 0 if there is
// none.
template <class Kernel>
int code_version() noexcept {
  static const int version = [] {
    cudaFuncAttributes attributes{};
    return cudaFuncGetAttributes(&attributes, run_kernel<Kernel>) == cudaSuccess
               ? attributes.ptxVersion
               : 0;
  }();
  return version;
}

// Errors stay with the CUDA runtime, for the next call that checks.
template <class Kernel>
void launch(Stream stream, const Shape& shape, const Kernel& kernel) noexcept {
  if (shape.shared_bytes > size_t{48} << 10)
    cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shape.shared_bytes));
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim =
      dim3(static_cast<unsigned>(shape.blocks_x), static_cast<unsigned>(shape.blocks_y));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = reinterpret_cast<cudaStream_t>(stream);
  config.attrs = &overlap;
  config.numAttrs = kernels_overlap() ? 1 : 0;
  cudaLaunchKernelEx(&config, run_kernel<Kernel>, kernel);
}

#else

inline int multiprocessors() noexcept { return 3; }
template <class Kernel>
int code_version() noexcept {
  return twin::options().code_version;
}

template <class Kernel>
void launch(Stream, const Shape& shape, const Kernel& kernel) noexcept {
  static_assert(Kernel::kThreads % kWarp == 0 && Kernel::kMinBlocks >= 1);
  twin::do_or_record([shape, kernel] {
    twin::run(shape.blocks_x, shape.blocks_y, shape.threads, shape.shared_bytes, kernel);
  });
}

#endif

}  // namespace krait::cuda
