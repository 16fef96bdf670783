#include "src/base/file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "krait/error.h"

namespace krait {

void throw_errno(const std::string& action, const std::string& path) {
  const int code = errno;
  const std::string message = "cannot " + action + " " + path + ": " + std::strerror(code);
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

// O_NONBLOCK: opening a named pipe must not wait for a writer.
InputFile::InputFile(const std::string& path)
    : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw_errno("open", path);
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) {
    size_ = static_cast<size_t>(status.st_size);
    return;
  }
  const int code = errno;
  ::close(descriptor_);
  errno = code;
  if (!known) throw_errno("examine", path);
  throw InputError("cannot read " + path + ": it is " +
                   (S_ISDIR(status.st_mode) ? "a folder" : "not a regular file") +
                   "; expected a file");
}

InputFile::~InputFile() { ::close(descriptor_); }

std::string read_text_file(const std::string& path, size_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes)
    throw InputError(path + " has " + std::to_string(file.size()) + " bytes; expected at most " +
                     std::to_string(max_bytes));
  std::string text(file.size(), '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(file.descriptor(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("read", path);
    if (got == 0) break;  // it has shrunk meanwhile; whoever parses the text will see
    filled += static_cast<size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace krait
