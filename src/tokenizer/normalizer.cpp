#include "src/tokenizer/normalizer.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include <utf8proc.h>

#include "krait/error.h"
#include "src/base/utf8.h"
#include "src/tokenizer/character_tables.h"

namespace krait {
namespace {

bool is_compatibility(NormalForm form) {
  return form == NormalForm::nfkc || form == NormalForm::nfkd;
}
bool is_composed(NormalForm form) { return form == NormalForm::nfc || form == NormalForm::nfkc; }

// Text of bytes below this is in normal form: below U+0300 nothing combines, and NFC changes
// nothing that does not; the other forms change some of U+0080 and up.
unsigned char first_changeable_byte(NormalForm form) {
  return form == NormalForm::nfc ? 0xCC : 0x80;
}

int combining_class(int32_t code) {
  if (unknown_to_normalizer(static_cast<char32_t>(code))) return 0;
  return utf8proc_get_property(code)->combining_class;
}

void append_decomposed(char32_t code, bool compatibility, std::vector<int32_t>& out) {
  if (unknown_to_normalizer(code)) return out.push_back(static_cast<int32_t>(code));
  std::array<int32_t, 32> parts;  // the longest decomposition, of U+FDFA, has 18
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                                      (compatibility ? UTF8PROC_COMPAT : 0));
  const utf8proc_ssize_t count = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(code), parts.data(), parts.size(), options, nullptr);
  KRAIT_CHECK(count >= 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()));
  out.insert(out.end(), parts.begin(), parts.begin() + count);
}

// Sorts every run of marks by combining class, keeping the order of equal ones. (utf8proc's own way
// to do it is quadratic.)
void order_marks(std::vector<int32_t>& codes) {
  for (auto begin = codes.begin(); begin != codes.end();) {
    const auto is_mark = [](int32_t code) { return combining_class(code) != 0; };
    const auto first = std::find_if(begin, codes.end(), is_mark);
    begin = std::find_if_not(first, codes.end(), is_mark);
    if (begin - first > 1)
      std::stable_sort(first, begin, [](int32_t a, int32_t b) {
        return combining_class(a) < combining_class(b);
      });
  }
}

// The character that two make together, or -1.
int32_t compose_pair(int32_t first, int32_t second) {
  // utf8proc takes this one for a trailing consonant that adds nothing; those begin after it.
  if (second == 0x11A7) return -1;
  std::array<int32_t, 2> pair = {first, second};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const bool composes = utf8proc_normalize_utf32(pair.data(), 2, options) == 1;
  return composes && !unknown_to_normalizer(static_cast<char32_t>(pair[0])) ? pair[0] : -1;
}

// Unicode, section 3.11: each character joins the last starter unless one between them has class 0
// or a class not below its own.
void compose(std::vector<int32_t>& codes) {
  size_t kept = 0;
  size_t starter = 0;
  bool has_starter = false;
  int last_class = -1;  // of the last character kept after the starter; -1: none
  for (const int32_t code : codes) {
    const int own_class = combining_class(code);
    if (has_starter && last_class < own_class) {
      const int32_t joined = compose_pair(codes[starter], code);
      if (joined >= 0) {
        codes[starter] = joined;
        continue;
      }
    }
    last_class = own_class;
    if (own_class == 0) {
      starter = kept;
      has_starter = true;
      last_class = -1;
    }
    codes[kept++] = code;
  }
  codes.resize(kept);
}

void append_changeable(NormalForm form, std::string_view text, std::vector<int32_t>& codes,
                       std::string& out) {
  codes.clear();
  for (size_t at = 0; at < text.size();) {
    const Utf8Unit unit = utf8_unit(text, at);
    append_decomposed(unit.code, is_compatibility(form), codes);
    at += unit.length;
  }
  order_marks(codes);
  if (is_composed(form)) compose(codes);
  for (const int32_t code : codes) append_utf8(static_cast<char32_t>(code), out);
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

void append_normalized(NormalForm form, std::string_view text, std::string& out) {
  const unsigned char limit = first_changeable_byte(form);
  const auto changeable = [limit](char c) { return static_cast<unsigned char>(c) >= limit; };
  std::vector<int32_t> codes;
  // An ASCII character never joins what stands before it. So the work goes in stretches that begin
  // at one: the unchanged up to the last ASCII character before a changeable one, then up to the
  // next ASCII character.
  for (size_t at = 0; at < text.size();) {
    const auto found =
        std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), changeable);
    if (found == text.end()) {
      out += text.substr(at);
      return;
    }
    const auto place = static_cast<size_t>(found - text.begin());
    size_t begin = place;
    while (begin > at && !is_ascii(text[begin])) --begin;
    size_t end = place;
    while (end < text.size() && !is_ascii(text[end])) ++end;
    out += text.substr(at, begin - at);
    append_changeable(form, text.substr(begin, end - begin), codes, out);
    at = end;
  }
}

std::string_view Normalizer::apply(std::string_view text, std::string& storage) const {
  for (const NormalForm form : forms_) {
    const unsigned char limit = first_changeable_byte(form);
    if (std::none_of(text.begin(), text.end(),
                     [limit](char c) { return static_cast<unsigned char>(c) >= limit; }))
      continue;
    std::string out;
    out.reserve(text.size());
    append_normalized(form, text, out);
    storage = std::move(out);
    text = storage;
  }
  return text;
}

}  // namespace krait
