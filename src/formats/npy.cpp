#include "src/formats/npy.h"

#include <bit>

#include "krait/error.h"

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

}  // namespace

NpyWriter::NpyWriter(const std::string& path, int64_t rows, int64_t cols)
    : file_(path), rows_left_(rows), cols_(cols) {
  KRAIT_CHECK(rows >= 0 && cols >= 0);
  const std::string text = header(rows, cols);
  file_.write(text.data(), text.size());
}

void NpyWriter::write_row(std::span<const float> row) {
  KRAIT_CHECK(file_.is_open() && rows_left_ > 0 && static_cast<int64_t>(row.size()) == cols_);
  file_.write(row.data(), row.size_bytes());
  --rows_left_;
}

void NpyWriter::finish() {
  KRAIT_CHECK(file_.is_open() && rows_left_ == 0);
  file_.commit();
}

}  // namespace krait
