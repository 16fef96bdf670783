#include "src/formats/byte_cursor.h"

namespace krait {
namespace {

// Bytes of the UTF-8 character at the start of `text`, 0 where there is none: well-formed sequences
// of table 3-7 of the Unicode standard.
size_t character_length(std::string_view text) noexcept {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xc2   ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  return length;
}

}  // namespace

void ByteCursor::require(uint64_t bytes, const std::string& what) const {
  if (bytes > remaining())
    fail(what + " needs " + std::to_string(bytes) + " bytes, but the file ends after " +
         std::to_string(remaining()));
}

std::span<const std::byte> ByteCursor::bytes(uint64_t count, const std::string& what) {
  require(count, what);
  const auto out = file_.subspan(at_, count);
  at_ += count;
  return out;
}

std::string_view ByteCursor::text(const std::string& what) {
  const auto raw = bytes(number<uint64_t>(what), what);
  const std::string_view whole(reinterpret_cast<const char*>(raw.data()), raw.size());
  for (std::string_view rest = whole; !rest.empty();) {
    const size_t character = character_length(rest);
    if (character == 0)
      fail(what + " is not UTF-8: byte " + std::to_string(whole.size() - rest.size()) + " is " +
           std::to_string(static_cast<unsigned char>(rest.front())));
    rest.remove_prefix(character);
  }
  return whole;
}

}  // namespace krait
