// The arithmetic roof of the processor.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernels.h"

namespace krait {

// Multiply-adds per second, of bytes or of floats, that so many threads reach together. Other work
// on the machine hardly lowers it: each thread counts what it does while it runs.
double measure_peak(const cpu::Kernels& kernels, int32_t threads, bool bytes);

}  // namespace krait
