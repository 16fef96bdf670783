// A file as a read-only range of memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {

struct MappedRange;

// The pages are read when touched and shared with other processes. Where one cannot be read,
// because another process has cut the file short or the disk fails, the system sends SIGBUS: a
// program that hands that to survive_bus_error (krait/checkpoint.h) goes on over zeros, and
// check_unchanged() tells. Movable, so that bytes() keep their address.
class MappedFile {
 public:
  // Throws InputError naming the path for a file that is missing, unreadable, empty or not regular;
  // Failure when the machine cannot map it.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  bool contains(const std::byte* byte) const noexcept;

  // Throws Failure when not all that was read so far is what the file held when it was opened.
  void check_unchanged() const;

  // Lets the pages that lie wholly inside `range` (part of bytes()) leave memory; reading them
  // again brings them back from the file. Thread-safe.
  void release(std::span<const std::byte> range) const noexcept;

 private:
  std::string path_;
  InputFile file_;  // as it was when it was mapped
  std::span<const std::byte> bytes_;
  MappedRange* range_ = nullptr;  // what survive_bus_error knows of it
};

// What `parse` gives; where it finds fault with a file that has changed meanwhile, that is told.
template <class Parse>
auto parse_mapped(const MappedFile& file, const Parse& parse) {
  try {
    return parse(file.bytes());
  } catch (const InputError&) {
    file.check_unchanged();
    throw;
  }
}

}  // namespace krait
