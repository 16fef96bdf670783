// What a file may hold in place of weights: NaN and infinities, which would make every text
// garbage, and values beyond what a type can hold. Refused while weights are packed, by name.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "krait/tensor.h"

namespace krait {

// `values` are the elements of `tensor` from `first` on, as float32; they are to be stored as
// `type`, a float type or one with block parts. Throws InputError, naming tensor `name` and the
// place, for one that is not finite or beyond the type.
void require_storable(std::span<const float> values, DType type, const Tensor& tensor,
                      int64_t first, const std::string& name);

// The same for elements of an f16 or bf16 tensor as they are stored.
void require_finite(std::span<const uint16_t> halves, const Tensor& tensor, int64_t first,
                    const std::string& name);

// "[3, 17]" for element `index` of a tensor.
std::string place_of(const Tensor& tensor, int64_t index);

}  // namespace krait
