// Breaks lines between words as text streams onto a terminal.
#pragma once

#include <string>
#include <string_view>

namespace krait::cli {

class WordWrap {
 public:
  // `width`: columns of the terminal. Widths of characters are those of the locale.
  explicit WordWrap(int width) : width_(width) {}

  // What to send for the next piece of text, which is whole UTF-8 characters. A word that turns out
  // to be too long for its line is taken back from there and written on the next one.
  std::string push(std::string_view text);

 private:
  void put(std::string_view character, int columns, std::string& out);

  int width_;
  int column_ = 0;
  std::string word_;  // since the last space on this line
  int word_columns_ = 0;
};

}  // namespace krait::cli
