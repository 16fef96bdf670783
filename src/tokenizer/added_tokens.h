// Tokens that are found in the text itself, before anything else cuts it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/tokenizer/regex.h"

namespace krait {

struct AddedToken {
  int32_t id;
  std::string content;       // as it is to be found
  bool special = false;      // a control token, such as "<|endoftext|>"
  bool normalized = false;   // searched in the normalised text
  bool single_word = false;  // only where no word character stands before or after it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
};

// Cuts text at tokens: at the leftmost match, and of those that begin there at the longest, each
// search going on behind the last match. Immutable and safe to share between threads.
class AddedTokens {
 public:
  // The contents as they are to be found; none is empty. Of equal ones the first counts, special
  // tokens before others.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Calls sink(stretch, id) in order: id is the token's, or -1 for ordinary text (never empty).
  // Without `match_special` a special token stays ordinary text. As in Hugging Face tokenizers a
  // token may also be found in the white space that the token before it took.
  template <class Sink>
  void split(std::string_view text, bool match_special, Sink&& sink) const {
    Cursor cursor;
    while (next(text, match_special, cursor)) {
      if (cursor.begin > cursor.done)
        sink(text.substr(cursor.done, cursor.begin - cursor.done), -1);
      sink(text.substr(cursor.begin, cursor.end - cursor.begin), cursor.id);
      cursor.done = cursor.end;
    }
    if (cursor.done != text.size()) sink(text.substr(cursor.done), -1);
  }

 private:
  struct Cursor {
    size_t search = 0;     // where the next search begins
    size_t done = 0;       // text before this is cut
    size_t space_end = 0;  // the end of the white space last taken by rstrip
    size_t begin = 0;      // the token found, with the white space it takes
    size_t end = 0;
    int32_t id = -1;
  };
  struct Group {  // tokens_[begin, end) share their first byte
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  bool next(std::string_view text, bool match_special, Cursor& cursor) const;
  const AddedToken* longest_at(std::string_view text, size_t at) const;
  bool stands_alone(std::string_view text, size_t begin, size_t end) const;

  std::vector<AddedToken> tokens_;  // sorted by content, each content once
  std::array<Group, 256> groups_;
  std::optional<Regex> word_character_;  // where a token is single_word
};

}  // namespace krait
