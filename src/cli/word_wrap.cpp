#include "src/cli/word_wrap.h"

#include <algorithm>
#include <cwchar>

#include <fmt/format.h>

#include "src/base/utf8.h"

namespace krait::cli {

std::string WordWrap::push(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Unit unit = utf8_unit(text, at);
    const std::string_view character = text.substr(at, unit.length);
    at += unit.length;
    if (unit.code == '\n') {
      out += '\n';
      column_ = word_columns_ = 0;
      word_.clear();
    } else {
      const int columns = unit.code < 0x80 ? 1 : ::wcwidth(static_cast<wchar_t>(unit.code));
      put(character, std::max(columns, 0), out);
    }
  }
  return out;
}

// The last column stays free: what a cursor does there differs between terminals.
void WordWrap::put(std::string_view character, int columns, std::string& out) {
  const bool is_space = character == " " || character == "\t";
  const bool fits = column_ + columns < width_;
  if (is_space) {
    word_.clear();
    word_columns_ = 0;
    if (!fits) {
      out += '\n';
      column_ = 0;
      return;
    }
    out += ' ';
    ++column_;
    return;
  }
  if (!fits && word_columns_ == column_) {  // one word fills the line
    out += '\n';
    column_ = word_columns_ = 0;
    word_.clear();
  } else if (!fits) {
    if (word_columns_ > 0) out += fmt::format("\x1b[{}D\x1b[K", word_columns_);
    out += '\n' + word_;
    column_ = word_columns_;
  }
  out += character;
  word_ += character;
  column_ += columns;
  word_columns_ += columns;
}

}  // namespace krait::cli
