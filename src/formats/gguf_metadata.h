// The key-value pairs at the front of a GGUF file.
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "src/formats/byte_cursor.h"

namespace krait {

// Reads `count` pairs into one flat object: numbers, booleans, strings, and arrays of these. Throws
// InputError naming the key, what was found and what was expected.
nlohmann::json read_gguf_metadata(ByteCursor& cursor, uint64_t count);

}  // namespace krait
