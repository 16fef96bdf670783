// The CPU backend: splits each operation over threads and calls the kernels of kernels/cpu.
#pragma once

#include <memory>
#include <string>

#include "krait/backend.h"

namespace krait {

// `isa` as in BackendOptions: throws InputError. `threads` is at least 1. `note` as in DeviceInfo.
std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int32_t threads, DType act,
                                          std::string note = {});

}  // namespace krait
