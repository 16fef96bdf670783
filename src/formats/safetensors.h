// The safetensors container: 8 bytes of header length (u64, little-endian), a JSON header, then the
// tensors' bytes without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/formats/weights_file.h"

namespace krait {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // bytes; the format's own limit

// Checks every rule of the layout and returns the tensors, sorted by name; their data are views
// into `file`. `source` names it in messages. Throws InputError naming the tensor, what was found
// and what was expected.
std::vector<WeightsEntry> parse_safetensors(std::span<const std::byte> file,
                                            const std::string& source);

// Maps the file and parses it. Throws InputError.
WeightsFile read_safetensors(const std::string& path);

}  // namespace krait
