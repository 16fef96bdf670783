// NumPy's .npy, written row by row.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "src/base/output_file.h"

namespace krait {

// Writes a float32 array [rows, cols] (format 1.0, little-endian, C order). The file takes the name
// `path` only in finish(), as OutputFile does.
class NpyWriter {
 public:
  // Throws InputError naming `path` when it cannot be created there.
  NpyWriter(const std::string& path, int64_t rows, int64_t cols);

  // The next row; exactly `cols` values. Throws Failure naming the path (a full disk).
  void write_row(std::span<const float> row);

  // After the last row. Throws Failure naming the path.
  void finish();

 private:
  OutputFile file_;
  int64_t rows_left_;
  int64_t cols_;
};

}  // namespace krait
