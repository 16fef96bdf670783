#include "src/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "src/base/utf8.h"

namespace krait {
namespace {

constexpr char32_t kEnd = 0x100 + 68;  // one past the last character of the alphabet

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, kEnd> byte{};  // -1: not in the alphabet

  constexpr Alphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool printable =
          (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
      character[b] = printable ? b : next++;
      byte[character[b]] = static_cast<int16_t>(b);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::optional<std::string> bytes_from_alphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Unit unit = utf8_unit(text, at);
    if (unit.code >= kEnd || kAlphabet.byte[unit.code] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet.byte[unit.code]);
    at += unit.length;
  }
  return bytes;
}

std::string alphabet_from_bytes(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes)
    append_utf8(kAlphabet.character[static_cast<unsigned char>(byte)], text);
  return text;
}

}  // namespace krait
