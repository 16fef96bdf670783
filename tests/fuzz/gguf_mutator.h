#pragma once

#include <string>
#include <string_view>

#include "tests/fuzz/target.h"

namespace krait::fuzz {

// A GGUF file with a key, a value, an element or a tensor more, less or other than before; counts,
// lengths and the padding before the data stay right, and mostly the tensors' offsets.
std::string mutate_gguf(std::string_view input, Random& random, const MutateBytes& bytes);

}  // namespace krait::fuzz
