// The manual as a roff page, for man(1).
#pragma once

#include <string>

#include "src/cli/flag_table.h"

namespace krait::cli {

std::string man_page(const ProgramTable& program);

}  // namespace krait::cli
