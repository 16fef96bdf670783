// A file as a read-only range of memory.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace krait {

// The pages are read when touched and shared with other processes. A file that another process cuts
// short meanwhile is not defended against. Movable, so that bytes() keep their address.
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

  // Lets the pages that lie wholly inside `range` (part of bytes()) leave memory; reading them
  // again brings them back from the file. Thread-safe.
  void release(std::span<const std::byte> range) const noexcept;

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace krait
