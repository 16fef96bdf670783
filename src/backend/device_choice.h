// What `--device` means on this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "src/backend/cuda/gpu_list.h"

namespace krait {

struct DeviceChoice {
  std::optional<int32_t> gpu;  // nothing: the CPU
  std::string note;            // why `auto` takes no GPU
  bool unused_gpu = false;     // the note is about one that is there
};

// `device` is auto, cpu, cuda or cuda:N. Throws InputError for anything else, and for a GPU that
// cannot be used, saying why. `cuda` is the first one that can.
DeviceChoice choose_device(const std::string& device, const cuda::GpuList& list);

}  // namespace krait
