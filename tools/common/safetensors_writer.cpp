#include "tools/common/safetensors_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "krait/error.h"

namespace krait {
namespace {

constexpr int64_t kChunkBytes = int64_t{1} << 20;  // a multiple of every element size

const char* format_name(DType type) {
  switch (type) {
    case DType::f32: return "F32";
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::f64: return "F64";
    case DType::i8: return "I8";
    case DType::i16: return "I16";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::u8: return "U8";
    case DType::boolean: return "BOOL";
    default:  // block types: safetensors has none
      break;
  }
  return nullptr;
}

int64_t byte_size(const NamedTensor& tensor) {
  return element_count(tensor.shape) * dtype_info(tensor.dtype).block_bytes;
}

std::string header_of(const std::vector<NamedTensor>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  header["__metadata__"] = {{"format", "pt"}};
  std::set<std::string> names;
  int64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const char* type = format_name(tensor.dtype);
    KRAIT_CHECK(type != nullptr);
    KRAIT_CHECK(names.insert(tensor.name).second);
    const int64_t size = byte_size(tensor);
    KRAIT_CHECK(tensor.fill || static_cast<int64_t>(tensor.bytes.size()) == size);
    header[tensor.name] = {
        {"dtype", type}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

void store_f32(float value, DType dtype, std::byte* out, int64_t index) noexcept {
  if (dtype == DType::f32) {
    std::memcpy(out + index * 4, &value, 4);
    return;
  }
  KRAIT_CHECK(dtype == DType::f16 || dtype == DType::bf16);
  const uint16_t bits = dtype == DType::f16 ? f16_from_f32(value) : bf16_from_f32(value);
  std::memcpy(out + index * 2, &bits, 2);
}

NamedTensor named_tensor(std::string name, DType dtype, Shape shape,
                         std::span<const float> values) {
  NamedTensor tensor{std::move(name), dtype, std::move(shape)};
  KRAIT_CHECK(element_count(tensor.shape) == static_cast<int64_t>(values.size()));
  tensor.bytes.resize(static_cast<size_t>(byte_size(tensor)));
  for (size_t i = 0; i < values.size(); ++i)
    store_f32(values[i], dtype, tensor.bytes.data(), static_cast<int64_t>(i));
  return tensor;
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       SafetensorsData data) {
  const std::string header = header_of(tensors);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  const auto write = [&](const void* bytes, int64_t size) {
    if (!file.write(static_cast<const char*>(bytes), size)) throw Failure(path + ": cannot write");
  };
  std::array<unsigned char, 8> length;
  for (size_t i = 0; i < 8; ++i)
    length[i] = static_cast<unsigned char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  write(length.data(), 8);
  write(header.data(), static_cast<int64_t>(header.size()));

  std::vector<std::byte> chunk;
  uint64_t hole = 0;
  for (const NamedTensor& tensor : tensors) {
    if (data == SafetensorsData::hole) {
      hole += static_cast<uint64_t>(byte_size(tensor));
      continue;
    }
    if (!tensor.fill) {
      write(tensor.bytes.data(), static_cast<int64_t>(tensor.bytes.size()));
      continue;
    }
    const int64_t size = byte_size(tensor);
    for (int64_t first = 0; first < size; first += kChunkBytes) {
      chunk.resize(static_cast<size_t>(std::min(kChunkBytes, size - first)));
      tensor.fill(first, chunk);
      write(chunk.data(), static_cast<int64_t>(chunk.size()));
    }
  }
  file.close();
  std::error_code error;
  if (file && hole > 0) std::filesystem::resize_file(path, 8 + header.size() + hole, error);
  if (!file || error) throw Failure(path + ": cannot write");
}

}  // namespace krait
