// Weights of a checkpoint in another type, piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "krait/tensor.h"

namespace krait {

// Hands `tensor` as `type` to `sink`, in order, in pieces of a few megabytes, each converted by
// `threads` threads; bytes that already have the type pass as they are. `name` is for messages.
// Throws InputError for a tensor that is no weight and for values that `type` cannot hold.
void convert_weights(const Tensor& tensor, DType type, int threads, const std::string& name,
                     const std::function<void(std::span<const std::byte>)>& sink);

}  // namespace krait
