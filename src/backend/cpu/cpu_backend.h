// The CPU backend: splits each operation over threads and calls the kernels of kernels/cpu.
#pragma once

#include <memory>
#include <string>

#include "krait/backend.h"

namespace krait {

// `isa` and `threads` as in BackendOptions. Throws InputError.
std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int32_t threads);

}  // namespace krait
