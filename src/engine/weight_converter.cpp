#include "src/engine/weight_converter.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "krait/error.h"
#include "src/base/quantize_blocks.h"
#include "src/base/run_threads.h"
#include "src/base/weight_values.h"

namespace krait {
namespace {

constexpr int64_t kPieceElements = int64_t{1} << 20;

void encode_row(std::span<const float> row, DType type, std::byte* out) {
  const auto halves = [&](auto narrow) {
    for (size_t i = 0; i < row.size(); ++i) {
      const uint16_t bits = narrow(row[i]);
      std::memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
  };
  switch (type) {
    case DType::f32: std::memcpy(out, row.data(), row.size_bytes()); return;
    case DType::f16: return halves(f16_from_f32);
    case DType::bf16: return halves(bf16_from_f32);
    default: break;
  }
  const DTypeInfo& info = dtype_info(type);
  for (size_t first = 0; first < row.size(); first += info.block_elements) {
    quantize_block(type, row.data() + first, out);
    out += info.block_bytes;
  }
}

// Calls work(first, last) for ranges that cover [0, count), each on a thread of its own. What one
// throws reaches the caller.
template <class Work>
void split(int64_t count, int threads, const Work& work) {
  const int64_t parts = std::clamp<int64_t>(threads, 1, count);
  run_threads(static_cast<int>(parts),
              [&](int part) { work(count * part / parts, count * (part + 1) / parts); });
}

}  // namespace

void convert_weights(const Tensor& tensor, DType type, int threads, const std::string& name,
                     const std::function<void(std::span<const std::byte>)>& sink) {
  const int64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  const int64_t rows = cols == 0 ? 0 : tensor.elements() / cols;
  const DTypeInfo& info = dtype_info(type);
  const int64_t row_bytes = cols / info.block_elements * info.block_bytes;
  const int64_t piece_rows = std::clamp<int64_t>(kPieceElements / std::max<int64_t>(cols, 1), 1,
                                                 std::max<int64_t>(rows, 1));
  std::vector<std::byte> piece(tensor.dtype == type ? 0 : piece_rows * row_bytes);
  for (int64_t first = 0; first < rows; first += piece_rows) {
    const int64_t count = std::min(piece_rows, rows - first);
    if (tensor.dtype == type) {
      sink(tensor.data.subspan(first * row_bytes, count * row_bytes));
      continue;
    }
    split(count, threads, [&](int64_t begin, int64_t end) {
      std::vector<float> row(cols);
      for (int64_t r = begin; r < end; ++r) {
        copy_to_f32(tensor, (first + r) * cols, cols, row.data(), name);
        require_storable(row, type, tensor, (first + r) * cols, name);
        encode_row(row, type, piece.data() + r * row_bytes);
      }
    });
    sink(std::span(piece).first(count * row_bytes));
  }
}

}  // namespace krait
