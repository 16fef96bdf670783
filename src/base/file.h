// Files as the system gives them, with its interruptions and short counts seen to.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/stat.h>

namespace krait {

// An open file, or none. Closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  // open(2), tried again after a signal; none, and errno, where that fails.
  Descriptor(const std::string& path, int flags, mode_t mode = 0) noexcept;
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  explicit operator bool() const noexcept { return number_ >= 0; }
  int number() const noexcept { return number_; }

  // False, and errno, where the system tells only now that what was written is lost.
  bool close() noexcept;

 private:
  int number_ = -1;
};

// Throws for the errno of a failed call: "cannot <action> <path>: <reason>". InputError where a
// different path or permission would have helped, else Failure.
[[noreturn]] void throw_errno(const std::string& action, const std::string& path);

// Up to `count` bytes, 0 only at the end. A read that a signal interrupts goes on. Throws like
// throw_errno.
size_t read_some(int descriptor, void* to, size_t count, const std::string& path);

// All of them, however many calls that takes. Throws Failure naming the path.
void write_all(int descriptor, std::string_view bytes, const std::string& path);

// Until the file's name itself is on the disk. Throws Failure naming the path.
void sync_folder_of(const std::string& path);

// A regular file, open for reading.
class InputFile {
 public:
  // Throws InputError naming the path when there is no such file, it may not be read or it is no
  // regular file, Failure when the machine is to blame.
  explicit InputFile(const std::string& path);

  int descriptor() const noexcept { return descriptor_.number(); }
  size_t size() const noexcept { return static_cast<size_t>(status_.st_size); }

  // Whether it still is as it was opened: of that size, and not written to.
  bool is_unchanged() const noexcept;

 private:
  Descriptor descriptor_;
  struct stat status_ = {};
};

// The whole file. Throws like InputFile, and InputError when it is larger than `max_bytes`.
std::string read_text_file(const std::string& path, size_t max_bytes);

// Its first bytes, fewer where it has fewer. Throws like InputFile.
std::string first_bytes(const std::string& path, size_t count);

}  // namespace krait
