// The GGUF container, versions 2 and 3: metadata, a table of tensors, then their bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/checkpoint.h"
#include "krait/tensor.h"

namespace krait {

struct GgufEntry {
  std::string name;
  Tensor tensor;  // the shape outermost dimension first, as everywhere here; files have it reversed
  // Set for an element type that the format knows and krait does not read ("IQ4_XS"): then
  // tensor.dtype means nothing.
  std::string_view unread_type;
};

struct GgufContents {
  nlohmann::json metadata;         // one flat object; holds the string "general.architecture"
  std::vector<GgufEntry> tensors;  // by name
};

// Checks every rule of the layout; the tensors' data are views into `file`. `source` names it in
// messages. Throws InputError naming the key or tensor, what was found and what was expected.
GgufContents parse_gguf(std::span<const std::byte> file, const std::string& source);

// The file as a checkpoint whose config() is the metadata.
std::unique_ptr<Checkpoint> open_gguf(const std::string& path);

}  // namespace krait
