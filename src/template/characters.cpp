#include "src/template/characters.h"

#include <algorithm>
#include <cstring>

#include <utf8proc.h>

#include "src/base/utf8.h"

namespace krait::jinja {
namespace {

constexpr char32_t kSharpS = 0xDF;

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

void append_mapped(char32_t code, utf8proc_int32_t (*map)(utf8proc_int32_t), std::string& out) {
  append_utf8(static_cast<char32_t>(map(static_cast<utf8proc_int32_t>(code))), out);
}

void append_upper(char32_t code, std::string& out) {
  if (code == kSharpS) {
    out += "SS";
    return;
  }
  append_mapped(code, utf8proc_toupper, out);
}

void append_title(char32_t code, std::string& out) {
  if (code == kSharpS) {
    out += "Ss";
    return;
  }
  append_mapped(code, utf8proc_totitle, out);
}

template <class Visit>
void each_code(std::string_view text, const Visit& visit) {
  for (size_t at = 0, length = 0; at < text.size(); at += length) visit(code_at(text, at, length));
}

bool is_cased(char32_t code) {
  const auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL ||
         kind == UTF8PROC_CATEGORY_LT;
}

bool has_one_case(std::string_view text, bool (*wanted)(char32_t) noexcept,
                  bool (*other)(char32_t) noexcept) {
  bool any = false;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = code_at(text, at, length);
    if (other(code)) return false;
    any = any || wanted(code);
  }
  return any;
}

}  // namespace

size_t character_count(std::string_view text) noexcept {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); }));
}

size_t byte_of(std::string_view text, size_t character) noexcept {
  size_t at = 0;
  for (; at < text.size(); ++at)
    if (!is_continuation(text[at]) && character-- == 0) break;
  return at;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    code_at(text, at, length);
    all.push_back(text.substr(at, length));
  }
  return all;
}

char32_t code_at(std::string_view text, size_t at, size_t& length) noexcept {
  const Utf8Unit unit = utf8_unit(text, at);
  length = unit.length;
  return unit.code;
}

bool is_space(char32_t code) noexcept {
  if (code < 0x80)
    return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x1F);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_line_end(char32_t code) noexcept {
  return (code >= 10 && code <= 13) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

bool is_printable(char32_t code) noexcept {
  if (code == ' ') return true;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

bool is_letter(char32_t code) noexcept {
  const auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t code) noexcept { return category(code) == UTF8PROC_CATEGORY_ND; }

bool is_word(char32_t code) noexcept {
  const auto kind = category(code);
  return is_letter(code) || code == '_' ||
         (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO);
}

bool is_upper(char32_t code) noexcept { return category(code) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t code) noexcept { return category(code) == UTF8PROC_CATEGORY_LL; }

bool is_upper_text(std::string_view text) noexcept {
  return has_one_case(text, is_upper, is_lower);
}
bool is_lower_text(std::string_view text) noexcept {
  return has_one_case(text, is_lower, is_upper);
}

std::string to_upper(std::string_view text) {
  std::string out;
  each_code(text, [&out](char32_t code) { append_upper(code, out); });
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  each_code(text, [&out](char32_t code) { append_mapped(code, utf8proc_tolower, out); });
  return out;
}

std::string capitalized(std::string_view text) {
  std::string out;
  bool is_first = true;
  each_code(text, [&](char32_t code) {
    is_first ? append_title(code, out) : append_mapped(code, utf8proc_tolower, out);
    is_first = false;
  });
  return out;
}

std::string titled(std::string_view text) {
  std::string out;
  bool in_word = false;
  each_code(text, [&](char32_t code) {
    in_word ? append_mapped(code, utf8proc_tolower, out) : append_title(code, out);
    in_word = is_cased(code);
  });
  return out;
}

size_t find_text(std::string_view text, std::string_view part, size_t from) noexcept {
  if (from > text.size()) return std::string_view::npos;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t rfind_text(std::string_view text, std::string_view part) {
  const std::string backwards(text.rbegin(), text.rend());
  const size_t found = find_text(backwards, std::string(part.rbegin(), part.rend()));
  return found == std::string_view::npos ? found : text.size() - found - part.size();
}

std::string_view strip(std::string_view text, Ends ends, const std::string_view* chars) {
  const auto goes = [chars](std::string_view character, char32_t code) {
    return chars ? chars->find(character) != std::string_view::npos : is_space(code);
  };
  while (ends != Ends::right && !text.empty()) {
    size_t length = 0;
    const char32_t code = code_at(text, 0, length);
    if (!goes(text.substr(0, length), code)) break;
    text.remove_prefix(length);
  }
  while (ends != Ends::left && !text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && is_continuation(text[at])) --at;
    size_t length = 0;
    const char32_t code = code_at(text, at, length);
    if (!goes(text.substr(at), code)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

std::vector<std::string_view> lines(std::string_view text) {
  std::vector<std::string_view> all;
  size_t begin = 0;
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t code = code_at(text, at, length);
    if (!is_line_end(code)) continue;
    all.push_back(text.substr(begin, at - begin));
    if (code == '\r' && text.substr(at + 1, 1) == "\n") ++length;
    begin = at + length;
  }
  if (begin < text.size()) all.push_back(text.substr(begin));
  return all;
}

}  // namespace krait::jinja
