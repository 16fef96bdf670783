// What the operating system says about the processor.
#pragma once

#include <cstdint>
#include <string>

namespace krait {

inline constexpr int32_t kMaxThreads = 512;

// The processor's name, or "cpu" where the system does not tell.
std::string cpu_name();

// Cores this process may run on; at least 1, at most kMaxThreads.
int32_t usable_cores();

}  // namespace krait
