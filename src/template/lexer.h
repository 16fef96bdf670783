// The source of a template as tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace krait::jinja {

struct Token {
  enum class Kind : uint8_t {
    text,             // outside of tags
    output_begin,     // {{
    output_end,       // }}
    statement_begin,  // {%
    statement_end,    // %}
    name,
    string,   // its characters, escapes resolved
    integer,  // its digits, as std::from_chars reads them with `base`
    real,
    sign,  // an operator or a bracket
    end,   // of the template
  };
  Kind kind;
  uint8_t base;  // of an integer
  int line;
  std::string text;

  bool is(Kind wanted, std::string_view wanted_text) const {
    return kind == wanted && text == wanted_text;
  }
};

// Splits the source, with the white space around tags removed as `-`, trim_blocks and
// lstrip_blocks ask; comments are left out. Throws InputError "NAME:LINE: ..." for what is no token
// and for tags that do not end. `source` is valid UTF-8.
std::vector<Token> tokenize(std::string_view source, const std::string& name);

// A token as messages show it.
std::string describe(const Token& token);

}  // namespace krait::jinja
