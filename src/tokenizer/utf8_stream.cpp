#include <utility>

#include "krait/tokenizer.h"
#include "src/base/utf8.h"

namespace krait {

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  out.reserve(pending_.size());
  size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Unit unit = utf8_unit(pending_, at);
    if (unit.kind == Utf8Unit::Kind::truncated) break;
    if (unit.kind == Utf8Unit::Kind::character)
      out.append(pending_, at, unit.length);
    else
      out += kReplacementCharacter;
    at += unit.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string Utf8Stream::finish() { return repair_utf8(std::exchange(pending_, {})); }

std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool keep_special) {
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer.token_bytes(id, keep_special);
  if (tokenizer.strips_leading_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
  return is_valid_utf8(bytes) ? bytes : repair_utf8(bytes);
}

}  // namespace krait
