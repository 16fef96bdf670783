// Strings as Python has them, sequences of characters, over valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace krait::jinja {

size_t character_count(std::string_view text) noexcept;

// Where the character of that index starts; text.size() for one past the last.
size_t byte_of(std::string_view text, size_t character) noexcept;

// The characters, as parts of `text`.
std::vector<std::string_view> characters(std::string_view text);

// The character that starts at text[at], and its bytes.
char32_t code_at(std::string_view text, size_t at, size_t& length) noexcept;

// As str.isspace: White_Space and the separators U+001C to U+001F.
bool is_space(char32_t code) noexcept;
bool is_line_end(char32_t code) noexcept;   // as str.splitlines
bool is_printable(char32_t code) noexcept;  // as repr(): otherwise it writes an escape
bool is_letter(char32_t code) noexcept;
bool is_digit(char32_t code) noexcept;
bool is_word(char32_t code) noexcept;  // \w
bool is_upper(char32_t code) noexcept;
bool is_lower(char32_t code) noexcept;

// As str.isupper and islower: at least one letter of the case, none of the other.
bool is_upper_text(std::string_view text) noexcept;
bool is_lower_text(std::string_view text) noexcept;

// One character for one, but for the sharp s. (Python has about a hundred more that grow.)
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalized(std::string_view text);  // the first in title case, the rest lower
std::string titled(std::string_view text);       // every run of letters capitalized

// Where `part` stands first, from there on, or last; npos where it does not. In linear time, unlike
// std::string's own: both may come from somebody who would like it to take long.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0) noexcept;
size_t rfind_text(std::string_view text, std::string_view part);

// Without the white space, or the characters of `*chars`, at its ends.
enum class Ends { left, right, both };
std::string_view strip(std::string_view text, Ends ends, const std::string_view* chars = nullptr);

// Without their ends, of which "\r\n" is one.
std::vector<std::string_view> lines(std::string_view text);

}  // namespace krait::jinja
