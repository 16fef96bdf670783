#include "krait/tensor.h"

#include <algorithm>
#include <cstring>

#include "krait/error.h"
#include "src/base/block_types.h"

namespace krait {
namespace {

template <class T, class Convert>
void convert(const std::byte* from, int64_t count, float* out, Convert to_f32) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    out[i] = to_f32(value);
  }
}

// A range may begin or end inside a block.
void dequantize(const Tensor& tensor, int64_t first, int64_t count, float* out) {
  const DTypeInfo& info = dtype_info(tensor.dtype);
  float values[kMaxBlockElements];
  for (const int64_t end = first + count; first < end;) {
    const int64_t block = first / info.block_elements, skip = first % info.block_elements;
    const int64_t taken = std::min(end - first, info.block_elements - skip);
    dequantize_block(tensor.dtype, tensor.data.data() + block * info.block_bytes, values);
    out = std::copy_n(values + skip, taken, out);
    first += taken;
  }
}

}  // namespace

int64_t element_count(const Shape& shape) noexcept {
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  return count;
}

int64_t Tensor::elements() const noexcept { return element_count(shape); }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void copy_to_f32(const Tensor& tensor, int64_t first, int64_t count, float* out,
                 const std::string& name) {
  const DTypeInfo& info = dtype_info(tensor.dtype);
  if (is_block_type(tensor.dtype)) return dequantize(tensor, first, count, out);
  const std::byte* from = tensor.data.data() + first * info.block_bytes;
  switch (tensor.dtype) {
    case DType::f32:
      if (count > 0) std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float));
      return;
    case DType::f64:
      return convert<double>(from, count, out, [](double v) { return static_cast<float>(v); });
    case DType::f16: return convert<uint16_t>(from, count, out, f32_from_f16);
    case DType::bf16: return convert<uint16_t>(from, count, out, f32_from_bf16);
    default:
      throw InputError("tensor " + name + " has type " + std::string(info.name) +
                       "; expected f32, f16, bf16, f64 or a block type");
  }
}

}  // namespace krait
