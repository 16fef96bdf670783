// Backends under test, and tensors and rows to feed them.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "krait/backend.h"
#include "src/backend/cpu/cpu_backend.h"
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

// What the tests of operations run over: each test program names its own (devices_*.cpp).
struct Device {
  std::string name;
  std::function<std::unique_ptr<Backend>(int threads, DType act)> make;
  bool int8_activations = false;  // of products with quantised weights
  double split_error = 0;         // of activations in products whose weights are not f32
  bool q6_k_as_bytes = false;     // a third more than in files
  bool emulated = false;          // slow: fewer cases will do
  std::unique_ptr<Backend> operator()(int threads, DType act = DType::f32) const {
    return make(threads, act);
  }
};
std::vector<Device> devices();
inline void PrintTo(const Device& device, std::ostream* out) { *out << device.name; }

inline std::unique_ptr<Backend> cpu_backend(const std::string& isa, int threads,
                                            DType act = DType::f32) {
  return make_cpu_backend(isa, threads, act);
}

// Floats in the memory of a backend.
class TestFloats {
 public:
  TestFloats(Backend& backend, const std::vector<float>& values)
      : backend_(backend), buffer_(backend.buffer(std::ssize(values))) {
    backend_.write(values, buffer_->data);
  }
  float* data() const { return buffer_->data; }
  std::vector<float> values() const {
    std::vector<float> out(static_cast<size_t>(buffer_->size));
    backend_.read(buffer_->data, out);
    return out;
  }
  void set(const std::vector<float>& values) { backend_.write(values, buffer_->data); }

 private:
  Backend& backend_;
  std::unique_ptr<Buffer> buffer_;
};

// Rows in the memory of a backend, `gap` floats apart and `offset` floats in.
struct TestRows {
  TestRows(Backend& backend, const std::vector<float>& values, int64_t rows, int64_t cols,
           int64_t gap = 0, int64_t offset = 0)
      : begin(offset),
        storage(backend, filled(values, rows, cols, gap, offset)),
        view{storage.data() + offset, rows, cols, cols + gap} {}

  std::vector<float> values() const {
    const std::vector<float> all = storage.values();
    std::vector<float> out;
    for (int64_t r = 0; r < view.rows; ++r) {
      const auto row = all.begin() + begin + r * view.stride;
      out.insert(out.end(), row, row + view.cols);
    }
    return out;
  }
  // Fills what lies between the rows, so that reading it shows in any sum.
  void poison_gaps() {
    std::vector<float> all = storage.values();
    for (int64_t r = 0; r + 1 < view.rows; ++r)
      for (int64_t c = view.cols; c < view.stride; ++c) all[begin + r * view.stride + c] = NAN;
    storage.set(all);
  }
  // Nothing but the rows themselves was written.
  bool gaps_untouched() const {
    const std::vector<float> all = storage.values();
    for (int64_t i = 0; i < std::ssize(all); ++i) {
      const bool in_gap = i < begin || (i - begin) % view.stride >= view.cols;
      if (in_gap && all[i] != 777.0f) return false;
    }
    return true;
  }

  int64_t begin;
  TestFloats storage;
  Rows view;

 private:
  static std::vector<float> filled(const std::vector<float>& values, int64_t rows, int64_t cols,
                                   int64_t gap, int64_t offset) {
    std::vector<float> all(offset + rows * (cols + gap), 777.0f);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        all[offset + r * (cols + gap) + c] = values.empty() ? 0.0f : values[r * cols + c];
    return all;
  }
};

}  // namespace krait::test
