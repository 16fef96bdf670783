#pragma once

#include <string>
#include <string_view>

#include "tests/fuzz/target.h"

namespace krait::fuzz {

// A pickle with an operation more, less, moved or with another argument.
std::string mutate_pickle(std::string_view input, Random& random, const MutateBytes& bytes);

}  // namespace krait::fuzz
