// The results file of a batch, which is also the record of what is finished: whoever starts the
// same command again goes on where the file ends. One JSON object per line, in the order in which
// the requests ended; every line begins {"id":"krait-LINE-HASH", with the line of the input it
// answers and a hash of that line and of what computes.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/base/file.h"

namespace krait {

class BatchResults {
 public:
  // Opens or creates the file and locks it against other processes. A last line that was torn off
  // by a crash is cut away. Throws InputError for a file that holds something else, that another
  // process is writing, or that cannot be written. `computed_by` tells apart what computes results:
  // a file is not continued by another one.
  explicit BatchResults(const std::string& path, uint64_t computed_by = 0);

  // The "id" of the result for a line of the input (from 1) of that text.
  static std::string id_of(int64_t line, std::string_view text, uint64_t computed_by = 0);

  // Whether that line has its result already. Throws InputError when the result on file answers
  // another text or was computed by something else (known for the latest results only).
  bool is_finished(int64_t line, std::string_view text) const;

  // Appends one line, in one write. It survives this process's death at once, the machine's within
  // a second or at close(). Throws Failure.
  void append(std::string_view json);
  void close();

  int64_t found_finished() const noexcept { return found_finished_; }  // when it was opened
  int64_t found_failed() const noexcept { return found_failed_; }
  int64_t repaired_bytes() const noexcept { return repaired_bytes_; }  // of a torn last line

 private:
  void read_existing();
  void take(std::string_view result, int64_t number);
  void sync();

  std::string path_;
  Descriptor file_;
  uint64_t computed_by_;
  std::vector<bool> finished_;                       // by line of the input: a bit for each
  std::unordered_map<int64_t, std::string> latest_;  // line -> id, of the last results on file
  std::deque<int64_t> latest_lines_;                 // oldest first
  int64_t found_finished_ = 0, found_failed_ = 0, repaired_bytes_ = 0;
  std::chrono::steady_clock::time_point synced_;
};

}  // namespace krait
