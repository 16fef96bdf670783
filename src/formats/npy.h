// NumPy's .npy, written row by row.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace krait {

// Writes a float32 array [rows, cols] (format 1.0, little-endian, C order). The rows go to a
// temporary file beside `path`, which takes that name only in finish(): a run that fails or is
// abandoned leaves neither a torn file nor a temporary one, and an older file untouched.
class NpyWriter {
 public:
  // Throws InputError naming `path` when it cannot be created there.
  NpyWriter(std::string path, int64_t rows, int64_t cols);

  // The next row; exactly `cols` values. Throws Failure naming the path (a full disk).
  void write_row(std::span<const float> row);

  // After the last row. Throws Failure naming the path.
  void finish();

 private:
  // Closed and deleted with its owner, unless it has been renamed.
  struct Temporary {
    ~Temporary();
    std::string path;
    std::FILE* file = nullptr;
  };

  void write(const void* bytes, size_t count);

  std::string path_;
  Temporary temporary_;
  int64_t rows_left_;
  int64_t cols_;
};

}  // namespace krait
