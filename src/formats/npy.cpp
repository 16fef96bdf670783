#include "src/formats/npy.h"

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kAlignment = 64;  // of the data, as the format asks
constexpr size_t kPrefixBytes = 10;

// Magic, version 1.0, header length (u16), a Python dict, spaces, a newline.
std::string header(int64_t rows, int64_t cols) {
  std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                     ", " + std::to_string(cols) + "), }";
  const size_t unpadded = kPrefixBytes + dict.size() + 1;
  dict.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dict += '\n';
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(dict.size() & 0xff);
  text += static_cast<char>(dict.size() >> 8);
  return text + dict;
}

// Unique among the writers of this machine.
std::string temporary_name(const std::string& path) {
  static std::atomic<int> count = 0;
  return path + ".part-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
}

[[noreturn]] void fail(const std::string& path) {
  throw Failure("cannot write " + path + ": " + std::strerror(errno));
}

}  // namespace

NpyWriter::NpyWriter(std::string path, int64_t rows, int64_t cols)
    : path_(std::move(path)), temporary_{temporary_name(path_)}, rows_left_(rows), cols_(cols) {
  KRAIT_CHECK(rows >= 0 && cols >= 0);
  if (path_.empty()) throw InputError("cannot write a .npy file: its name is empty");
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))  // /dev/null, a folder
    throw InputError("cannot write " + path_ + ": it exists and is not a regular file");
  temporary_.file = std::fopen(temporary_.path.c_str(), "wbxe");
  if (!temporary_.file) throw_errno("create", path_);
  const std::string text = header(rows, cols);
  write(text.data(), text.size());
}

NpyWriter::Temporary::~Temporary() {
  if (!file) return;
  std::fclose(file);
  ::unlink(path.c_str());
}

void NpyWriter::write(const void* bytes, size_t count) {
  if (std::fwrite(bytes, 1, count, temporary_.file) != count) fail(path_);
}

void NpyWriter::write_row(std::span<const float> row) {
  KRAIT_CHECK(temporary_.file && rows_left_ > 0 && static_cast<int64_t>(row.size()) == cols_);
  write(row.data(), row.size_bytes());
  --rows_left_;
}

void NpyWriter::finish() {
  KRAIT_CHECK(temporary_.file && rows_left_ == 0);
  if (std::fflush(temporary_.file) != 0 || ::rename(temporary_.path.c_str(), path_.c_str()) != 0)
    fail(path_);
  if (std::fclose(std::exchange(temporary_.file, nullptr)) != 0) fail(path_);
}

}  // namespace krait
