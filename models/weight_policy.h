// Which type each weight matrix takes when a whole model is asked for in one type. Small matrices
// whose errors weigh most stay finer than the rest, at little cost in bytes.
#pragma once

#include <cstdint>
#include <string_view>

#include "krait/dtype.h"

namespace krait {

// Canonical names are those of Weights ("layers.3.mixer.x_proj.weight"); `wanted` is any type.

// In memory, where rows may end inside a block.
DType loaded_weight_type(std::string_view canonical_name, DType wanted) noexcept;

// In a file, whose rows of `cols` elements are whole blocks: as above, or the nearest finer type
// that divides them.
DType stored_weight_type(std::string_view canonical_name, int64_t cols, DType wanted) noexcept;

}  // namespace krait
