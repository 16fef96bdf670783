#include "src/base/output_file.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <new>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {
namespace {

constexpr std::chrono::milliseconds kPatience{2000}, kLookAgain{20};

bool is_same_file(int descriptor, const std::string& path) {
  struct stat open {
  }, named{};
  return ::fstat(descriptor, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

// False: somebody else has the lock. A file system without locks gives everybody theirs.
bool lock(int descriptor) {
  return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

// The temporary file for `path`, ours alone; empty, though one may have been left by a process that
// was killed. Whoever writes for a moment only, such as a state, is waited for.
int open_locked(const std::string& temporary, const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < kPatience) {
    const int descriptor =
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (descriptor < 0) throw_errno("create", path);
    const bool locked = lock(descriptor);
    // Else it has been given its name, or thrown away, between open and lock.
    if (locked && is_same_file(descriptor, temporary)) {
      struct stat status {};
      const bool is_ours = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
                           status.st_nlink == 1 && status.st_uid == ::geteuid();
      if (is_ours && ::ftruncate(descriptor, 0) == 0) return descriptor;
      ::close(descriptor);
      throw InputError("cannot write " + path + ": " + temporary +
                       " is in the way, and no file that was left by krait");
    }
    ::close(descriptor);
    if (!locked) std::this_thread::sleep_for(kLookAgain);
  }
  throw InputError(path + " is being written by another process; wait for it or choose another " +
                   "file");
}

[[noreturn]] void fail(const std::string& path) {
  throw Failure("cannot write " + path + ": " + std::strerror(errno));
}

// The new name itself must reach the disk, too. A file system that cannot sync a folder says
// EINVAL.
void sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a folder that may be written to but not read
  const bool failed = ::fsync(descriptor) != 0 && errno != EINVAL;
  const int code = errno;
  ::close(descriptor);
  errno = code;
  if (failed) fail(path);
}

}  // namespace

OutputFile::OutputFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".part") {
  if (path_.empty()) throw InputError("cannot write a file: its name is empty");
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))  // /dev/null, a folder
    throw InputError("cannot write " + path_ + ": it exists and is not a regular file");
  file_ = ::fdopen(open_locked(temporary_, path_), "wb");
  if (!file_) throw std::bad_alloc();
}

OutputFile::~OutputFile() {
  if (!file_) return;
  ::unlink(temporary_.c_str());  // while the lock is ours
  std::fclose(file_);
}

void OutputFile::write(const void* bytes, size_t count) {
  KRAIT_CHECK(file_);
  if (std::fwrite(bytes, 1, count, file_) != count) fail(path_);
}

void OutputFile::flush() {
  KRAIT_CHECK(file_);
  if (std::fflush(file_) != 0) fail(path_);
}

// Under the lock: what it protects is the temporary name.
void OutputFile::rename() {
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_);
  if (std::fclose(std::exchange(file_, nullptr)) != 0) fail(path_);
}

void OutputFile::commit() {
  flush();
  rename();
}

void OutputFile::commit_durably() {
  flush();
  if (::fsync(::fileno(file_)) != 0) fail(path_);
  rename();
  sync_folder_of(path_);
}

}  // namespace krait
