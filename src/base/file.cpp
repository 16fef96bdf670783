#include "src/base/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "krait/error.h"

namespace krait {
namespace {

std::string message_for(int code, const std::string& action, const std::string& path) {
  return "cannot " + action + " " + path + ": " + std::strerror(code);
}

std::string read_up_to(const InputFile& file, size_t count, const std::string& path) {
  std::string bytes(count, '\0');
  size_t filled = 0;
  while (filled < count) {
    const size_t got = read_some(file.descriptor(), bytes.data() + filled, count - filled, path);
    if (got == 0) break;  // it has shrunk meanwhile; whoever parses the text will see
    filled += got;
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

Descriptor::Descriptor(const std::string& path, int flags, mode_t mode) noexcept {
  do number_ = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (number_ < 0 && errno == EINTR);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

// Closed it is in any case, after a signal, too.
bool Descriptor::close() noexcept {
  return number_ < 0 || ::close(std::exchange(number_, -1)) == 0 || errno == EINTR;
}

void throw_errno(const std::string& action, const std::string& path) {
  const int code = errno;
  const std::string message = message_for(code, action, path);
  switch (code) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO: throw InputError(message);
    default: throw Failure(message);
  }
}

size_t read_some(int descriptor, void* to, size_t count, const std::string& path) {
  ssize_t got;
  do got = ::read(descriptor, to, count);
  while (got < 0 && errno == EINTR);
  if (got < 0) throw_errno("read", path);
  return static_cast<size_t>(got);
}

void write_all(int descriptor, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written >= 0)
      bytes.remove_prefix(static_cast<size_t>(written));
    else if (errno != EINTR)
      throw Failure(message_for(errno, "write", path));
  }
}

// A file system that cannot sync a folder says EINVAL.
void sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const Descriptor folder(parent.empty() ? "." : parent.string(), O_RDONLY | O_DIRECTORY);
  if (!folder) return;  // it may be written to but not read
  if (::fsync(folder.number()) != 0 && errno != EINVAL)
    throw Failure(message_for(errno, "write", path));
}

// O_NONBLOCK: opening a named pipe must not wait for a writer.
InputFile::InputFile(const std::string& path) : descriptor_(path, O_RDONLY | O_NONBLOCK) {
  if (!descriptor_) throw_errno("open", path);
  if (::fstat(descriptor(), &status_) != 0) throw_errno("examine", path);
  if (!S_ISREG(status_.st_mode))
    throw InputError("cannot read " + path + ": it is " +
                     (S_ISDIR(status_.st_mode) ? "a folder" : "not a regular file") +
                     "; expected a file");
}

bool InputFile::is_unchanged() const noexcept {
  struct stat now = {};
  return ::fstat(descriptor(), &now) == 0 && now.st_size == status_.st_size &&
         now.st_mtim.tv_sec == status_.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == status_.st_mtim.tv_nsec;
}

std::string read_text_file(const std::string& path, size_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes)
    throw InputError(path + " has " + std::to_string(file.size()) + " bytes; expected at most " +
                     std::to_string(max_bytes));
  return read_up_to(file, file.size(), path);
}

std::string first_bytes(const std::string& path, size_t count) {
  const InputFile file(path);
  return read_up_to(file, std::min(count, file.size()), path);
}

}  // namespace krait
