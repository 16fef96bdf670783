// Which NVIDIA GPUs there are, as far as the driver tells.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace krait::cuda {

struct Gpu {
  std::string name;              // "NVIDIA H100 80GB HBM3"
  int32_t major = 0, minor = 0;  // compute capability
  bool operator==(const Gpu&) const = default;
};

enum class GpuSupport { available, not_built, no_driver, old_driver, failed };

struct GpuList {
  GpuSupport support = GpuSupport::not_built;
  int32_t driver = 0,
          needed = 0;  // CUDA versions that the driver has and that we need: 13020 is 13.2
  std::string error;   // of `failed`, in CUDA's words
  std::vector<Gpu> gpus;
};

// Asks the driver. Nothing is set up on any GPU.
GpuList list_gpus();

}  // namespace krait::cuda
