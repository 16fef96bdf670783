// Text without end, line by line.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace krait::cli {

// Gives a line as soon as its newline is there. Holds no more than `max_bytes` and one block.
class LineReader {
 public:
  // `what` stands before messages. The descriptor stays the caller's. `max_bytes` is at least 4.
  LineReader(int descriptor, std::string what, size_t max_bytes);

  // The next line with its newline (the last one may lack it), or, of a line longer than max_bytes,
  // the next piece of it, cut between UTF-8 characters. Nothing at the end. Throws Interrupted for
  // Ctrl-C while it waits, InputError for a read error.
  std::optional<std::string> next();

 private:
  bool fill();

  int descriptor_;
  std::string what_;
  size_t max_bytes_;
  std::string pending_;
};

}  // namespace krait::cli
