// Scripts that make a shell complete the commands, flags and values of krait.
#pragma once

#include <string>

#include "src/cli/flag_table.h"

namespace krait::cli {

std::string bash_completion(const ProgramTable& program);
std::string zsh_completion(const ProgramTable& program);
std::string fish_completion(const ProgramTable& program);

}  // namespace krait::cli
