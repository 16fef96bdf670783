#include "src/cli/line_reader.h"

#include <algorithm>
#include <utility>

#include "krait/error.h"
#include "src/cli/console.h"

namespace krait::cli {
namespace {

// Where to cut `text`, at most `limit` bytes in, so that no UTF-8 character is split.
size_t cut_before(const std::string& text, size_t limit) {
  constexpr size_t kLongestCharacter = 4;
  for (size_t at = limit; at + kLongestCharacter > limit; --at)
    if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) return at;
  return limit;  // no UTF-8 anyway
}

}  // namespace

LineReader::LineReader(int descriptor, std::string what, size_t max_bytes)
    : descriptor_(descriptor), what_(std::move(what)), max_bytes_(max_bytes) {
  KRAIT_CHECK(max_bytes >= 4);
}

// False at the end of the input.
bool LineReader::fill() {
  const std::string block = read_some(descriptor_, what_);
  pending_ += block;
  return !block.empty();
}

std::optional<std::string> LineReader::next() {
  size_t searched = 0;
  size_t end = std::string::npos;
  bool more = true;
  while (more && pending_.size() <= max_bytes_ &&
         (end = pending_.find('\n', searched)) == std::string::npos) {
    searched = pending_.size();
    more = fill();
  }
  if (end == std::string::npos) end = pending_.find('\n', searched);
  size_t length = end == std::string::npos ? pending_.size() : end + 1;
  if (length > max_bytes_) length = cut_before(pending_, max_bytes_);
  if (length == 0) return std::nullopt;
  std::string line = pending_.substr(0, length);
  pending_.erase(0, length);
  return line;
}

}  // namespace krait::cli
