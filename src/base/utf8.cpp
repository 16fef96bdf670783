#include "src/base/utf8.h"

#include <cstring>

namespace krait {
namespace {

// The length of the ASCII stretch that starts at text[at].
size_t ascii_stretch(std::string_view text, size_t at) noexcept {
  const size_t begin = at;
  for (uint64_t word; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if (word & 0x8080808080808080u) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at - begin;
}

}  // namespace

Utf8Unit utf8_unit(std::string_view text, size_t at) noexcept {
  using Kind = Utf8Unit::Kind;
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {Kind::character, 1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::invalid, 1, 0};
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte is narrower where it would start an overlong form, a surrogate, or a code point
  // beyond U+10FFFF.
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t code = lead & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) {
    if (at + static_cast<size_t>(i) == text.size())
      return {Kind::truncated, static_cast<uint8_t>(i), 0};
    const auto next = static_cast<unsigned char>(text[at + static_cast<size_t>(i)]);
    if (next < low || next > high) return {Kind::invalid, static_cast<uint8_t>(i), 0};
    code = code << 6 | (next & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {Kind::character, static_cast<uint8_t>(length), code};
}

bool is_valid_utf8(std::string_view text) noexcept {
  for (size_t at = ascii_stretch(text, 0); at < text.size(); at += ascii_stretch(text, at)) {
    const Utf8Unit unit = utf8_unit(text, at);
    if (unit.kind != Utf8Unit::Kind::character) return false;
    at += unit.length;
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Unit unit = utf8_unit(text, at);
    out += unit.kind == Utf8Unit::Kind::character ? text.substr(at, unit.length)
                                                  : kReplacementCharacter;
    at += unit.length;
  }
  return out;
}

void append_utf8(char32_t code, std::string& out) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace krait
