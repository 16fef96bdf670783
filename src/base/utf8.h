// UTF-8: walking, checking and repairing text of unknown origin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace krait {

// What stands at a place in a byte string.
struct Utf8Unit {
  enum class Kind : uint8_t {
    character,  // a well-formed sequence
    invalid,    // bytes that no continuation can make well-formed: one maximal subpart
    truncated,  // the text ends inside a sequence that is well-formed so far
  };
  Kind kind;
  uint8_t length;  // bytes, 1 to 4
  char32_t code;   // meaningful for a character
};

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// The unit at text[at]; at < text.size().
Utf8Unit utf8_unit(std::string_view text, size_t at) noexcept;

bool is_valid_utf8(std::string_view text) noexcept;

// `text` with one U+FFFD for every maximal subpart of an ill-formed sequence (Unicode,
// section 3.9), as most decoders do it.
std::string repair_utf8(std::string_view text);

void append_utf8(char32_t code, std::string& out);

}  // namespace krait
