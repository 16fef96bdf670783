// Opening a file that the user named.
#pragma once

#include <cstddef>
#include <string>

namespace krait {

// A regular file, open for reading. Closes itself.
class InputFile {
 public:
  // Throws InputError naming the path when there is no such file, it may not be read or it is no
  // regular file, Failure when the machine is to blame.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int descriptor() const noexcept { return descriptor_; }
  size_t size() const noexcept { return size_; }

 private:
  int descriptor_ = -1;
  size_t size_ = 0;
};

// Throws for the errno of a failed call: "cannot <action> <path>: <reason>". InputError where a
// different path or permission would have helped, else Failure.
[[noreturn]] void throw_errno(const std::string& action, const std::string& path);

// The whole file. Throws like InputFile, and InputError when it is larger than `max_bytes`.
std::string read_text_file(const std::string& path, size_t max_bytes);

}  // namespace krait
