// The arithmetic roof of the processor.
#pragma once

#include "kernels/cpu/kernels.h"
#include "src/backend/cpu/thread_pool.h"

namespace krait {

// Multiply-adds per second of all threads of the pool together, best of several passes; of bytes or
// of floats.
double measure_peak(const cpu::Kernels& kernels, ThreadPool& pool, bool bytes);

}  // namespace krait
