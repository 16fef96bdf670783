// The CPU backend: splits each operation over threads and calls the kernels of kernels/cpu.
#pragma once

#include <memory>
#include <string>

#include "krait/backend.h"

namespace krait {

// As in BackendOptions. Throws InputError.
std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int32_t threads, DType act);

}  // namespace krait
