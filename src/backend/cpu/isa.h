// Which CPU kernels run: the best instruction set this machine has, or the one asked for.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace krait {

// Names of the instruction sets this machine can run, best first; "scalar" is always last.
std::vector<std::string> available_isas();

// "auto" or one of the above. Throws InputError for a name that is unknown or cannot run here.
const cpu::Kernels& select_kernels(const std::string& isa);

}  // namespace krait
