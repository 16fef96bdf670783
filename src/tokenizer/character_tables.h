// What Hugging Face tokenizers take as space, letter and number, and which characters their
// normaliser knows. Their splitter has Unicode 16, their normaliser about Unicode 9, whereas Debian
// 12 has PCRE2 with Unicode 14 and utf8proc with Unicode 15: these tables bridge the gaps, so that
// the ids are equal for every character. tools/golden/make_character_tables.py prints them.
#pragma once

#include <string>

namespace krait {

// Insides of PCRE2 character classes: put them between [ ] or [^ ].
//
// White_Space. Not \s, which in PCRE2 takes U+180E too.
std::string space_class();
// \p{L} and \p{N} with what is newer than PCRE2's tables.
std::string letter_class();
std::string number_class();

// The pattern of one punctuation character: ASCII's, and those of Unicode 8.
std::string punctuation_pattern();

// The pattern of one word character, as the neighbours of a single_word token are judged.
std::string word_pattern();

bool is_space(char32_t code) noexcept;  // White_Space

// Whether the normaliser treats the character as unassigned: no decomposition, no composition,
// combining class 0.
bool unknown_to_normalizer(char32_t code) noexcept;

}  // namespace krait
