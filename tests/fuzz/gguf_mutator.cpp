#include "tests/fuzz/gguf_mutator.h"

#include <array>
#include <cstring>
#include <vector>

#include "tests/formats/gguf_bytes.h"

namespace krait::fuzz {
namespace {

constexpr uint32_t kString = 8, kArray = 9;
constexpr std::array<uint8_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

// A scalar has one element, raw; texts are without their length.
struct Pair {
  std::string key;
  uint32_t type, element_type;
  std::vector<std::string> elements;
};

struct TensorInfo {
  std::string name;
  std::vector<int64_t> dimensions;
  uint32_t type;
  uint64_t offset;
};

struct Parts {
  uint32_t version = 3;
  std::vector<Pair> pairs;
  std::vector<TensorInfo> tensors;
  std::string data;
};

struct NotGguf {};

class Reader {
 public:
  explicit Reader(std::string_view input) : rest_(input), size_(input.size()) {}

  Parts read() {
    Parts parts;
    if (take(4) != "GGUF") throw NotGguf();
    parts.version = number<uint32_t>();
    const auto tensors = number<uint64_t>(), pairs = number<uint64_t>();
    for (uint64_t i = 0; i < pairs; ++i) parts.pairs.push_back(read_pair());
    for (uint64_t i = 0; i < tensors; ++i) parts.tensors.push_back(read_tensor());
    const size_t at = size_ - rest_.size();
    if (const size_t padding = (32 - at % 32) % 32; padding <= rest_.size())
      parts.data = rest_.substr(padding);
    return parts;
  }

 private:
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) throw NotGguf();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(number<uint64_t>())); }
  std::string element(uint32_t type) {
    if (type == kString) return text();
    if (type >= kBytes.size() || kBytes[type] == 0) throw NotGguf();
    return std::string(take(kBytes[type]));
  }
  Pair read_pair() {
    Pair pair;
    pair.key = text();
    pair.type = pair.element_type = number<uint32_t>();
    uint64_t count = 1;
    if (pair.type == kArray) {
      pair.element_type = number<uint32_t>();
      count = number<uint64_t>();
    }
    for (uint64_t i = 0; i < count; ++i) pair.elements.push_back(element(pair.element_type));
    return pair;
  }
  TensorInfo read_tensor() {
    TensorInfo tensor;
    tensor.name = text();
    for (auto rank = number<uint32_t>(); rank > 0; --rank)
      tensor.dimensions.push_back(number<int64_t>());
    tensor.type = number<uint32_t>();
    tensor.offset = number<uint64_t>();
    return tensor;
  }

  std::string_view rest_;
  size_t size_;
};

std::string bytes_of(const Parts& parts) {
  test::GgufParts file;
  file.version = parts.version;
  file.pairs.clear();
  for (const Pair& pair : parts.pairs) {
    std::string elements;
    for (const std::string& element : pair.elements)
      elements += pair.element_type == kString ? test::gguf_text(element) : element;
    file.pairs.push_back(pair.type == kArray
                             ? test::array_pair(pair.key, static_cast<int32_t>(pair.element_type),
                                                pair.elements.size(), elements)
                             : test::pair(pair.key, static_cast<int32_t>(pair.type), elements));
  }
  for (const TensorInfo& tensor : parts.tensors)
    file.tensors.push_back(
        test::tensor_info(tensor.name, tensor.dimensions, tensor.type, tensor.offset));
  file.data = parts.data;
  return file.bytes();
}

template <class T>
T& any_of(std::vector<T>& items, Random& random) {
  return items[random() % items.size()];
}

template <class T>
void duplicate_or_erase(std::vector<T>& items, Random& random) {
  const auto at = items.begin() + static_cast<std::ptrdiff_t>(random() % items.size());
  if (random() % 2 == 0)
    items.erase(at);
  else
    items.insert(at, T(any_of(items, random)));
}

void mutate_pair(Pair& pair, Random& random, const MutateBytes& bytes) {
  const size_t width = pair.element_type < kBytes.size() ? kBytes[pair.element_type] : 0;
  switch (random() % 6) {
    case 0: pair.key = bytes(pair.key); return;
    case 1:  // another type, in which the value is read as it stands
      if (pair.type != kArray && width != 0) {
        const auto type = static_cast<uint32_t>(random() % kBytes.size());
        if (kBytes[type] == 0) return;
        pair.type = pair.element_type = type;
        pair.elements[0].resize(kBytes[type]);
      }
      return;
    case 2:
      if (pair.type == kArray && !pair.elements.empty()) duplicate_or_erase(pair.elements, random);
      return;
    default:
      if (pair.elements.empty()) return;
      std::string& element = any_of(pair.elements, random);
      element = bytes(element);
      if (width != 0) element.resize(width);
  }
}

void mutate_tensor(TensorInfo& tensor, Random& random, const MutateBytes& bytes) {
  switch (random() % 4) {
    case 0: tensor.name = bytes(tensor.name); return;
    case 1: tensor.type = static_cast<uint32_t>(random() % 42); return;
    case 2:
      tensor.offset = random() % 4 == 0 ? ~uint64_t{0} << random() % 64 : random() * 32;
      return;
    default:
      if (tensor.dimensions.empty() || random() % 8 == 0)
        tensor.dimensions.push_back(1);
      else
        any_of(tensor.dimensions, random) =
            random() % 4 == 0 ? int64_t{1} << random() % 63 : static_cast<int64_t>(random() % 300);
  }
}

}  // namespace

std::string mutate_gguf(std::string_view input, Random& random, const MutateBytes& bytes) {
  if (random() % 8 == 0) return bytes(std::string(input));
  Parts parts;
  try {
    parts = Reader(input).read();
  } catch (const NotGguf&) {
    return bytes(std::string(input));
  }
  const auto choice = random() % 8;
  if (choice == 0 && !parts.tensors.empty())
    duplicate_or_erase(parts.tensors, random);
  else if (choice < 3 && !parts.tensors.empty())
    mutate_tensor(any_of(parts.tensors, random), random, bytes);
  else if (choice == 3 && !parts.pairs.empty())
    duplicate_or_erase(parts.pairs, random);
  else if (choice == 4)
    parts.data = bytes(parts.data);
  else if (!parts.pairs.empty())
    mutate_pair(any_of(parts.pairs, random), random, bytes);
  return bytes_of(parts);
}

}  // namespace krait::fuzz
