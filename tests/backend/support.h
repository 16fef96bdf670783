// A CPU backend under test, and tensors and rows to feed it.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "krait/backend.h"
#include "src/backend/cpu/isa.h"
#include "src/base/quantize_blocks.h"

namespace krait::test {

// Bytes of values in a storage type, at any misalignment, with the tensor that views them. Of block
// types those that are weight types, in rows of whole blocks.
class StoredTensor {
 public:
  StoredTensor(const std::vector<float>& values, Shape shape, DType type, size_t misalignment = 0) {
    const auto size = static_cast<size_t>(dtype_info(type).block_bytes);
    const auto elements = static_cast<size_t>(dtype_info(type).block_elements);
    bytes_.resize(values.size() / elements * size + misalignment);
    std::byte* out = bytes_.data() + misalignment;
    for (size_t i = 0; i < values.size(); i += elements, out += size) {
      if (is_block_type(type)) {
        quantize_block(type, values.data() + i, out);
      } else if (type == DType::f32) {
        std::memcpy(out, &values[i], 4);
      } else {
        const uint16_t half =
            type == DType::f16 ? f16_from_f32(values[i]) : bf16_from_f32(values[i]);
        std::memcpy(out, &half, 2);
      }
    }
    tensor_ = {type, std::move(shape), std::span(bytes_).subspan(misalignment)};
  }
  const Tensor& tensor() const { return tensor_; }

 private:
  std::vector<std::byte> bytes_;
  Tensor tensor_;
};

inline std::unique_ptr<Backend> cpu_backend(const std::string& isa, int threads,
                                            DType act = DType::f32) {
  return make_backend({"cpu", isa, threads, act});
}

// Rows over a vector that lives in the test, `gap` floats apart and `offset` floats in.
struct TestRows {
  TestRows(const std::vector<float>& values, int64_t rows, int64_t cols, int64_t gap = 0,
           int64_t offset = 0)
      : storage(offset + rows * (cols + gap), 777.0f),
        view{storage.data() + offset, rows, cols, cols + gap} {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        view.data[r * view.stride + c] = values.empty() ? 0.0f : values[r * cols + c];
  }
  std::vector<float> values() const {
    std::vector<float> out;
    for (int64_t r = 0; r < view.rows; ++r)
      out.insert(out.end(), view.data + r * view.stride, view.data + r * view.stride + view.cols);
    return out;
  }
  // Fills what lies between the rows, so that reading it shows in any sum.
  void poison_gaps() {
    for (int64_t r = 0; r + 1 < view.rows; ++r)
      for (int64_t c = view.cols; c < view.stride; ++c) view.data[r * view.stride + c] = NAN;
  }
  // Nothing but the rows themselves was written.
  bool gaps_untouched() const {
    for (int64_t r = 0; r < view.rows; ++r)
      for (int64_t c = view.cols; c < view.stride && r * view.stride + c < size_from_view(); ++c)
        if (view.data[r * view.stride + c] != 777.0f) return false;
    for (const float* p = storage.data(); p < view.data; ++p)
      if (*p != 777.0f) return false;
    return true;
  }
  int64_t size_from_view() const {
    return static_cast<int64_t>(storage.size()) - (view.data - storage.data());
  }

  std::vector<float> storage;
  Rows view;
};

}  // namespace krait::test
