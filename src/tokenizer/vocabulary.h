// Token strings by id and ids by token string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/tokenizer/string_index.h"

namespace krait {

// Ids may have holes. Reading is safe from many threads once the last add has returned.
class Vocabulary {
 public:
  // `text` is the string as the file writes it, `bytes` what the token stands for. The id is not
  // negative and has no string yet; the text is not empty and has no id yet. Strings are copied.
  void add(int32_t id, std::string_view text, std::string_view bytes);

  // Highest id with a string, plus one.
  int32_t size() const noexcept { return static_cast<int32_t>(tokens_.size()); }

  // Empty for an id without a string or out of range. Valid until the next add.
  std::string_view text(int32_t id) const noexcept;
  std::string_view bytes(int32_t id) const noexcept;

  // The id with that text, or -1.
  int32_t find(std::string_view text) const noexcept;

 private:
  struct Token {
    uint32_t begin = 0;  // in arena_: the text, then the bytes
    uint32_t text_size = 0;
    uint32_t bytes_size = 0;
  };
  std::vector<Token> tokens_;
  std::string arena_;
  StringIndex by_text_;
};

}  // namespace krait
