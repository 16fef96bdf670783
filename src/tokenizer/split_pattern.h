// Regular expressions as tokenizer.json files write them (Oniguruma), for PCRE2.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace krait {

// A PCRE2 pattern that matches what Hugging Face tokenizers let `pattern` (valid UTF-8) match, for
// every character; nothing where that is not certain. Understood are literals, \r \n \t, \s \S
// \p{L} \p{N}, classes of these, (?: (?= (?! and plain groups, (?i: groups of letters, alternatives
// and quantifiers. The result need not compile: brackets are not counted here.
std::optional<std::string> pcre2_from_oniguruma(std::string_view pattern);

// A pattern that matches just `text`.
std::string pattern_of_literal(std::string_view text);

}  // namespace krait
