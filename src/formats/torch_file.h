// PyTorch's files of tensors: .bin, .pt, .pth.
#pragma once

#include <string>

#include "src/formats/weights_file.h"

namespace krait {

// Maps the file and finds its tensors: a dictionary from names to tensors, at the top or under
// "state_dict", "model" or "model_state_dict". Tensors that are not contiguous are copied, to no
// more bytes than the file has; the others are views into the mapping. Runs nothing that the file
// says. Throws InputError.
WeightsFile read_torch_file(const std::string& path);

}  // namespace krait
