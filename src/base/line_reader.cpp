#include "src/base/line_reader.h"

#include "krait/error.h"
#include "src/base/file.h"
#include "src/base/wait_for_input.h"

namespace krait {
namespace {

constexpr size_t kReadBytes = 256 << 10;

}  // namespace

LineReader::LineReader(int descriptor, std::string source, size_t max_line_bytes,
                       const std::atomic<bool>* stop)
    : descriptor_(descriptor),
      source_(std::move(source)),
      max_line_bytes_(max_line_bytes),
      stop_(stop) {}

std::optional<std::string_view> LineReader::next() {
  for (;;) {
    size_t end = buffer_.find('\n', scanned_);
    if (end == std::string::npos && at_end_ && begin_ < buffer_.size()) end = buffer_.size();
    const size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
    if (length > max_line_bytes_) {
      skip_line();
      throw LineTooLong(source_ + ": line " + std::to_string(line_) + " has more than " +
                        std::to_string(max_line_bytes_) + " bytes, the most that is accepted");
    }
    if (end != std::string::npos) {
      const size_t first = begin_;
      has_end_ = end < buffer_.size();
      begin_ = scanned_ = has_end_ ? end + 1 : end;
      ++line_;
      consumed_ += static_cast<int64_t>(begin_ - first);
      std::string_view line(buffer_.data() + first, length);
      if (line.ends_with('\r')) line.remove_suffix(1);
      return line;
    }
    if (at_end_ || !fill()) return std::nullopt;
  }
}

// More bytes behind those that are not returned yet. False: told to stop instead.
bool LineReader::fill() {
  if (stop_ && !wait_for_input(descriptor_, *stop_)) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  scanned_ = buffer_.size();
  buffer_.resize(scanned_ + kReadBytes);
  const size_t got = read_some(descriptor_, buffer_.data() + scanned_, kReadBytes, source_);
  buffer_.resize(scanned_ + got);
  at_end_ = got == 0;
  return true;
}

void LineReader::skip_line() {
  ++line_;
  for (;;) {
    const size_t end = buffer_.find('\n', begin_);
    const size_t next = end == std::string::npos ? buffer_.size() : end + 1;
    consumed_ += static_cast<int64_t>(next - begin_);
    begin_ = scanned_ = next;
    if (end != std::string::npos || at_end_ || !fill()) return;
  }
}

}  // namespace krait
