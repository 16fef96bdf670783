// The printable alphabet in which byte-level tokenizers write their vocabulary: every byte is one
// character. Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves, the other 68, in
// ascending order, for U+0100, U+0101, … (GPT-2, encoder.py, bytes_to_unicode).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace krait {

// The bytes that `text` (valid UTF-8) spells, or nothing when a character is not in the alphabet.
std::optional<std::string> bytes_from_alphabet(std::string_view text);

std::string alphabet_from_bytes(std::string_view bytes);

}  // namespace krait
