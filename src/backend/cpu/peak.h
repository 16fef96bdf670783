// The arithmetic roof of the processor.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernels.h"

namespace krait {

enum class Arithmetic { f32, bf16, int8 };

// Multiply-adds per second that so many threads reach together; those of bf16 are those of floats
// where the instruction set has no others. Other work on the machine hardly lowers it: each thread
// counts what it does while it runs.
double measure_peak(const cpu::Kernels& kernels, int32_t threads, Arithmetic arithmetic);

}  // namespace krait
