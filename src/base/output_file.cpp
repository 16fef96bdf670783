#include "src/base/output_file.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {
namespace {

// Unique among the writers of this machine.
std::string temporary_name(const std::string& path) {
  static std::atomic<int> count = 0;
  return path + ".part-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
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

OutputFile::OutputFile(std::string path)
    : path_(std::move(path)), temporary_(temporary_name(path_)) {
  if (path_.empty()) throw InputError("cannot write a file: its name is empty");
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))  // /dev/null, a folder
    throw InputError("cannot write " + path_ + ": it exists and is not a regular file");
  file_ = std::fopen(temporary_.c_str(), "wbxe");
  if (!file_) throw_errno("create", path_);
}

OutputFile::~OutputFile() {
  if (!file_) return;
  std::fclose(file_);
  ::unlink(temporary_.c_str());
}

void OutputFile::write(const void* bytes, size_t count) {
  KRAIT_CHECK(file_);
  if (std::fwrite(bytes, 1, count, file_) != count) fail(path_);
}

void OutputFile::flush() {
  KRAIT_CHECK(file_);
  if (std::fflush(file_) != 0) fail(path_);
}

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
