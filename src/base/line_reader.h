// Lines of a file or pipe, one at a time: memory is bounded by the longest line.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "krait/error.h"

namespace krait {

// A line of more bytes than are accepted.
class LineTooLong : public InputError {
 public:
  using InputError::InputError;
};

class LineReader {
 public:
  // Reads from `descriptor`, which stays the caller's. `source` names it in messages. Once `stop`
  // is set nobody waits for more: what there is ends there.
  LineReader(int descriptor, std::string source, size_t max_line_bytes,
             const std::atomic<bool>* stop = nullptr);

  // The next line without its end ("\n" or "\r\n"); a last line without an end counts. nullopt at
  // the end. The view is valid until the next call. Throws LineTooLong for a line longer than the
  // limit, which is read to its end all the same: the next call goes on behind it. Throws Failure
  // when reading fails; a read that a signal interrupts goes on.
  std::optional<std::string_view> next();

  int64_t line() const noexcept { return line_; }            // of the last line that ended, from 1
  bool line_has_end() const noexcept { return has_end_; }    // and was not cut off before it
  int64_t bytes_read() const noexcept { return consumed_; }  // up to its end

 private:
  bool fill();
  void skip_line();

  int descriptor_;
  std::string source_;
  size_t max_line_bytes_;
  const std::atomic<bool>* stop_;
  std::string buffer_;
  size_t begin_ = 0;    // of what is not returned yet, in buffer_
  size_t scanned_ = 0;  // no line ends before this place of buffer_
  bool at_end_ = false;
  bool has_end_ = false;
  int64_t line_ = 0;
  int64_t consumed_ = 0;
};

}  // namespace krait
