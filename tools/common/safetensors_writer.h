// Writes safetensors files, for developer programs and tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "krait/tensor.h"

namespace krait {

// A tensor to write. Its bytes (dense, row-major, little-endian) are in `bytes`, or, when `fill` is
// set, come from fill(first_byte, out), called with ascending ranges that never split an element,
// so that a file larger than memory can be written.
struct NamedTensor {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::byte> bytes = {};
  std::function<void(int64_t first_byte, std::span<std::byte> out)> fill = nullptr;
};

// Rounds `values` (row-major, as many as the shape says) to `dtype`: f32, f16 or bf16.
NamedTensor named_tensor(std::string name, DType dtype, Shape shape, std::span<const float> values);

// Writes `value` as the `index`-th element of a run of `dtype` elements: f32, f16 or bf16.
void store_f32(float value, DType dtype, std::byte* out, int64_t index) noexcept;

// Whether the tensors' bytes are written, or left a hole in the file: zeros that take no room.
enum class SafetensorsData { written, hole };

// Tensors are stored in the order given, the header padded to 8 bytes. Replaces the file. Names are
// unique, types are plain (no blocks) and sizes agree with shapes (KRAIT_CHECK). Throws Failure
// when the file cannot be written.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       SafetensorsData data = SafetensorsData::written);

}  // namespace krait
