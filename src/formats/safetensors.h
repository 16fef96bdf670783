// The safetensors container: 8 bytes of header length (u64, little-endian), a JSON header, then the
// tensors' bytes without gaps.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "krait/tensor.h"
#include "src/formats/mapped_file.h"

namespace krait {

struct SafetensorsEntry {
  std::string name;
  Tensor tensor;
  // Set for an element type that the format knows and krait does not read ("F8_E4M3"): then
  // tensor.dtype means nothing.
  std::string_view unread_type;
};

// Checks every rule of the layout and returns the tensors, sorted by name; their data are views
// into `file`. `source` names it in messages. Throws InputError naming the tensor, what was found
// and what was expected.
std::vector<SafetensorsEntry> parse_safetensors(std::span<const std::byte> file,
                                                const std::string& source);

struct SafetensorsFile {
  explicit SafetensorsFile(const std::string& path)
      : file(path), entries(parse_safetensors(file.bytes(), path)) {}

  MappedFile file;
  std::vector<SafetensorsEntry> entries;  // by name
};

}  // namespace krait
