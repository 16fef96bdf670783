#include "src/base/output_file.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "krait/error.h"

namespace krait {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

constexpr std::chrono::milliseconds kPatience{2000}, kLookAgain{20};

bool is_same_file(int descriptor, const std::string& path) {
  struct stat open = {}, named = {};
  return ::fstat(descriptor, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

// False: somebody else has the lock. A file system without locks gives everybody theirs.
bool lock(int descriptor) {
  return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

// The temporary file for `path`, ours alone; empty, though one may have been left by a process that
// was killed. Whoever writes for a moment only, such as a state, is waited for.
Descriptor open_locked(const std::string& temporary, const std::string& path, mode_t mode) {
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < kPatience) {
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode);
    if (!file) throw_errno("create", path);
    const bool locked = lock(file.number());
    // Else it has been given its name, or thrown away, between open and lock.
    if (locked && is_same_file(file.number(), temporary)) {
      struct stat status = {};
      const bool is_ours = ::fstat(file.number(), &status) == 0 && S_ISREG(status.st_mode) &&
                           status.st_nlink == 1 && status.st_uid == ::geteuid();
      if (is_ours && ::ftruncate(file.number(), 0) == 0) return file;
      throw InputError("cannot write " + path + ": " + temporary +
                       " is in the way, and no file that was left by krait");
    }
    if (!locked) std::this_thread::sleep_for(kLookAgain);
  }
  throw InputError(path + " is being written by another process; wait for it or choose another " +
                   "file");
}

[[noreturn]] void fail(const std::string& path) {
  throw Failure("cannot write " + path + ": " + std::strerror(errno));
}

}  // namespace

OutputFile::OutputFile(std::string path, mode_t mode)
    : path_(std::move(path)), temporary_(path_ + ".part") {
  if (path_.empty()) throw InputError("cannot write a file: its name is empty");
  struct stat status = {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))  // /dev/null, a folder
    throw InputError("cannot write " + path_ + ": it exists and is not a regular file");
  buffer_.reserve(kBufferBytes);
  file_ = open_locked(temporary_, path_, mode);
  lock_ = Descriptor(::fcntl(file_.number(), F_DUPFD_CLOEXEC, 0));
  if (!lock_) fail(path_);
}

OutputFile::~OutputFile() {
  if (file_ || lock_) ::unlink(temporary_.c_str());  // while the lock is ours
}

void OutputFile::write(const void* bytes, size_t count) {
  KRAIT_CHECK(file_);
  std::string_view rest(static_cast<const char*>(bytes), count);
  while (!rest.empty()) {
    const std::string_view piece = rest.substr(0, kBufferBytes - buffer_.size());
    buffer_ += piece;
    rest.remove_prefix(piece.size());
    if (buffer_.size() == kBufferBytes) flush();
  }
}

void OutputFile::flush() {
  KRAIT_CHECK(file_);
  write_all(file_.number(), buffer_, path_);
  buffer_.clear();
}

// Under the lock: what it protects is the temporary name.
void OutputFile::rename() {
  if (!file_.close()) fail(path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_);
  lock_.close();
}

void OutputFile::commit() {
  flush();
  rename();
}

void OutputFile::commit_durably() {
  flush();
  if (::fsync(file_.number()) != 0) fail(path_);
  rename();
  sync_folder_of(path_);
}

}  // namespace krait
