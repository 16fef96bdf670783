#include "src/tokenizer/added_tokens.h"

#include <algorithm>

#include "src/base/utf8.h"
#include "src/tokenizer/character_tables.h"

namespace krait {
namespace {

// Where the character that ends at `end` begins; end > 0, the text is valid UTF-8.
size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

// The least place from `least` on with only white space between it and `end`.
size_t space_before(std::string_view text, size_t end, size_t least) {
  while (end > least) {
    const size_t begin = previous_character(text, end);
    if (!is_space(utf8_unit(text, begin).code)) break;
    end = begin;
  }
  return std::max(end, least);
}

size_t space_after(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const Utf8Unit unit = utf8_unit(text, begin);
    if (!is_space(unit.code)) break;
    begin += unit.length;
  }
  return begin;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content != b.content ? a.content < b.content : a.special > b.special;
  });
  const auto same = [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same), tokens_.end());
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    Group& group = groups_[static_cast<unsigned char>(tokens_[i].content[0])];
    if (group.end == 0) group.begin = i;
    group.end = i + 1;
    if (tokens_[i].single_word && !word_character_) word_character_.emplace(word_pattern());
  }
}

const AddedToken* AddedTokens::longest_at(std::string_view text, size_t at) const {
  const Group group = groups_[static_cast<unsigned char>(text[at])];
  const AddedToken* low = tokens_.data() + group.begin;
  const AddedToken* high = tokens_.data() + group.end;
  const AddedToken* longest = nullptr;
  // [low, high): the tokens that agree with the text in their first `length` bytes. The one of just
  // that length, if there is one, is the first of them.
  for (size_t length = 1; low != high; ++length) {
    if (low->content.size() == length) {
      longest = low;
      if (++low == high) break;
    }
    if (at + length == text.size()) break;
    const auto byte_of = [length](const AddedToken& token) {
      return static_cast<unsigned char>(token.content[length]);
    };
    const auto wanted = static_cast<unsigned char>(text[at + length]);
    low = std::partition_point(low, high, [&](const AddedToken& t) { return byte_of(t) < wanted; });
    high =
        std::partition_point(low, high, [&](const AddedToken& t) { return byte_of(t) == wanted; });
  }
  return longest;
}

bool AddedTokens::stands_alone(std::string_view text, size_t begin, size_t end) const {
  Regex::Matcher matcher(*word_character_);
  Regex::Match match;
  if (begin > 0) {
    const size_t before = previous_character(text, begin);
    if (matcher.find(text.substr(before, begin - before), 0, match)) return false;
  }
  return end == text.size() ||
         !matcher.find(text.substr(end, utf8_unit(text, end).length), 0, match);
}

bool AddedTokens::next(std::string_view text, bool match_special, Cursor& cursor) const {
  while (cursor.search < text.size()) {
    const AddedToken* token = longest_at(text, cursor.search);
    if (token == nullptr) {
      ++cursor.search;
      continue;
    }
    cursor.begin = cursor.search;
    cursor.end = cursor.search += token->content.size();
    if (token->special && !match_special) continue;
    if (token->single_word && !stands_alone(text, cursor.begin, cursor.end)) continue;
    if (token->lstrip) cursor.begin = space_before(text, cursor.begin, cursor.done);
    if (token->rstrip) {
      if (cursor.end >= cursor.space_end) cursor.space_end = space_after(text, cursor.end);
      cursor.end = cursor.space_end;
    }
    if (cursor.begin >= cursor.end) continue;  // the token before it took all of it
    cursor.id = token->id;
    return true;
  }
  return false;
}

}  // namespace krait
