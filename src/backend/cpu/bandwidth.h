// The read bandwidth of memory.
#pragma once

#include <cstdint>

namespace krait {

// Bytes per second that so many threads read together, best of several passes.
double measure_read_bandwidth(int32_t threads);

}  // namespace krait
