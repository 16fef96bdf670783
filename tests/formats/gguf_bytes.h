// GGUF files by hand, so that every byte of them can be wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace krait::test {

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string gguf_text(std::string_view text) {
  return raw(uint64_t{text.size()}) + std::string(text);
}

// A metadata pair from its parts: the value's type and its bytes.
inline std::string pair(std::string_view key, int32_t type, const std::string& value) {
  return gguf_text(key) + raw(type) + value;
}
inline std::string text_pair(std::string_view key, std::string_view value) {
  return pair(key, 8, gguf_text(value));
}
inline std::string u32_pair(std::string_view key, uint32_t value) {
  return pair(key, 4, raw(value));
}
// `elements` are the bytes of `count` elements.
inline std::string array_pair(std::string_view key, int32_t element_type, uint64_t count,
                              const std::string& elements) {
  return pair(key, 9, raw(element_type) + raw(count) + elements);
}

// Dimensions in the order of the file, fastest first.
inline std::string tensor_info(std::string_view name, const std::vector<int64_t>& dimensions,
                               uint32_t type, uint64_t offset) {
  std::string info = gguf_text(name) + raw(static_cast<uint32_t>(dimensions.size()));
  for (const int64_t size : dimensions) info += raw(size);
  return info + raw(type) + raw(offset);
}

struct GgufParts {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> pairs = {text_pair("general.architecture", "mamba")};
  std::vector<std::string> tensors = {};
  std::string data = "";
  int64_t more_pairs = 0;  // added to the counts of the header
  int64_t more_tensors = 0;
  size_t alignment = 32;

  std::string bytes() const {
    std::string file = magic + raw(version) +
                       raw(static_cast<int64_t>(tensors.size()) + more_tensors) +
                       raw(static_cast<int64_t>(pairs.size()) + more_pairs);
    for (const std::string& part : pairs) file += part;
    for (const std::string& part : tensors) file += part;
    file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
    return file + data;
  }
};

}  // namespace krait::test
