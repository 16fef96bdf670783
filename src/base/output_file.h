// Writing a file so that its name never stands for a torn one.
#pragma once

#include <cstddef>
#include <string>

#include "src/base/file.h"

namespace krait {

// What is written goes to a temporary file beside `path`, which takes that name only in commit(): a
// run that fails or is abandoned leaves neither a torn file nor a temporary one, and an older file
// untouched. A killed process may leave the temporary file, PATH.part; the next one takes it over.
// It is locked, so that of two that write the same file at the same time the second is refused.
class OutputFile {
 public:
  // `mode`: who may do what with the file, less the process's umask. Throws InputError naming
  // `path` when it cannot be created there, or another is writing it and does not finish within two
  // seconds.
  explicit OutputFile(std::string path, mode_t mode = 0666);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Buffered. Throws Failure naming the path (a full disk).
  void write(const void* bytes, size_t count);

  // Gives the file its name; the last call. Throws Failure naming the path.
  void commit();

  // The same, and when it returns the file is on the disk: after a power failure there is the older
  // file or this one.
  void commit_durably();

  bool is_open() const noexcept { return static_cast<bool>(file_); }

 private:
  void flush();
  void rename();

  std::string path_;
  std::string temporary_;
  Descriptor file_, lock_;  // of the same open file: closing the first can fail, under the lock
  std::string buffer_;
};

}  // namespace krait
