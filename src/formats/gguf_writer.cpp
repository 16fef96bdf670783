#include "src/formats/gguf_writer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <string_view>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/base/output_file.h"
#include "src/formats/byte_cursor.h"
#include "src/formats/gguf_types.h"

namespace krait {
namespace {

using nlohmann::ordered_json;
using Kind = GgufKind;

constexpr uint32_t kVersion = 3;

int64_t padded(int64_t size) {
  return (size + kGgufDefaultAlignment - 1) / kGgufDefaultAlignment * kGgufDefaultAlignment;
}

int64_t byte_size(const GgufTensor& tensor) {
  const DTypeInfo& info = dtype_info(tensor.dtype);
  return element_count(tensor.shape) / info.block_elements * info.block_bytes;
}

uint32_t type_id(DType type) {
  const auto found = std::find_if(kGgufElementTypes.begin(), kGgufElementTypes.end(),
                                  [&](const GgufElementType& t) { return t.dtype == type; });
  KRAIT_CHECK(found != kGgufElementTypes.end());
  return found->id;
}

// The front part of a file: everything before the tensors' data.
class Front {
 public:
  explicit Front(std::string path) : path_(std::move(path)) {}

  std::string build(const ordered_json& metadata, const std::vector<GgufTensor>& tensors) {
    number(kGgufMagic);
    number(kVersion);
    number(uint64_t{tensors.size()});
    number(uint64_t{metadata.size()});
    for (const auto& [key, value] : metadata.items()) pair(key, value);
    int64_t offset = 0;
    for (const GgufTensor& tensor : tensors) {
      describe(tensor, offset);
      offset += padded(byte_size(tensor));
    }
    bytes_.resize(static_cast<size_t>(padded(std::ssize(bytes_))), '\0');
    return std::move(bytes_);
  }

 private:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  void text(std::string_view value) {
    number(uint64_t{value.size()});
    bytes_ += value;
  }

  void pair(const std::string& key, const ordered_json& value) {
    KRAIT_CHECK(!key.empty() && key.size() <= kGgufMaxKeyBytes);
    text(key);
    const Kind kind = kind_of(key, value);
    number(static_cast<int32_t>(kind));
    if (kind != Kind::array) return scalar(key, kind, value);
    // An empty array has no kind of its own. The arrays of the format's own keys hold mostly text.
    Kind element = value.empty() ? Kind::string : kind_of(key, value[0]);
    for (const ordered_json& each : value) element = common(key, element, kind_of(key, each));
    number(static_cast<int32_t>(element));
    number(uint64_t{value.size()});
    for (const ordered_json& each : value) scalar(key, element, each);
  }

  Kind kind_of(const std::string& key, const ordered_json& value) const {
    if (value.is_boolean()) return Kind::boolean;
    if (value.is_string()) return Kind::string;
    if (value.is_array()) return Kind::array;
    if (value.is_number_unsigned())
      return value.get<uint64_t>() <= std::numeric_limits<uint32_t>::max() ? Kind::u32 : Kind::u64;
    if (value.is_number_integer()) {
      const auto v = value.get<int64_t>();
      return v == static_cast<int32_t>(v) ? Kind::i32 : Kind::i64;
    }
    if (value.is_number_float()) return Kind::f32;
    throw InputError(path_ + ": metadata key " + quote(key) + " is " + value.type_name() +
                     ", which GGUF cannot hold");
  }

  // The kind that holds both: integers widen, others must be the same.
  Kind common(const std::string& key, Kind a, Kind b) const {
    if (a == b && a != Kind::array) return a;
    for (const auto& [narrow, wide] :
         {std::pair(Kind::u32, Kind::u64), std::pair(Kind::i32, Kind::i64)})
      if ((a == narrow || a == wide) && (b == narrow || b == wide)) return wide;
    throw InputError(path_ + ": metadata key " + quote(key) +
                     " is an array of values of different kinds, which GGUF cannot hold");
  }

  const std::string& utf8(const std::string& key, const std::string& value) const {
    if (utf8_prefix(value) == value.size()) return value;
    throw InputError(path_ + ": metadata key " + quote(key) + " would hold " + quote(value) +
                     ", which is not UTF-8");
  }

  void scalar(const std::string& key, Kind kind, const ordered_json& value) {
    switch (kind) {
      case Kind::u32: return number(value.get<uint32_t>());
      case Kind::i32: return number(value.get<int32_t>());
      case Kind::u64: return number(value.get<uint64_t>());
      case Kind::i64: return number(value.get<int64_t>());
      case Kind::f32: return number(value.get<float>());
      case Kind::boolean: return number(static_cast<uint8_t>(value.get<bool>()));
      case Kind::string: return text(utf8(key, value.get_ref<const std::string&>()));
      default: KRAIT_CHECK(!"a kind that kind_of gives");
    }
  }

  void describe(const GgufTensor& tensor, int64_t offset) {
    if (tensor.name.empty() || tensor.name.size() > kGgufMaxNameBytes)
      throw InputError(path_ + ": tensor " + quote(tensor.name) + " has a name of " +
                       std::to_string(tensor.name.size()) + " bytes; GGUF takes 1 to " +
                       std::to_string(kGgufMaxNameBytes));
    KRAIT_CHECK(names_.insert(tensor.name).second);
    KRAIT_CHECK(!tensor.shape.empty() && tensor.shape.size() <= kGgufMaxRank);
    KRAIT_CHECK(tensor.shape.back() % dtype_info(tensor.dtype).block_elements == 0);
    text(tensor.name);
    number(static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) number(*size);
    number(type_id(tensor.dtype));
    number(static_cast<uint64_t>(offset));
  }

  std::string path_;
  std::string bytes_;
  std::set<std::string_view> names_;
};

void write_tensor(OutputFile& file, const GgufTensor& tensor) {
  const int64_t size = byte_size(tensor);
  int64_t written = 0;
  tensor.produce([&](std::span<const std::byte> bytes) {
    file.write(bytes.data(), bytes.size());
    written += std::ssize(bytes);
  });
  KRAIT_CHECK(written == size);
  const std::array<std::byte, kGgufDefaultAlignment> zeros{};
  file.write(zeros.data(), static_cast<size_t>(padded(size) - size));
}

}  // namespace

void write_gguf(const std::string& path, const ordered_json& metadata,
                const std::vector<GgufTensor>& tensors) {
  KRAIT_CHECK(metadata.contains("general.architecture"));
  const std::string front = Front(path).build(metadata, tensors);
  OutputFile file(path);
  file.write(front.data(), front.size());
  for (const GgufTensor& tensor : tensors) write_tensor(file, tensor);
  file.commit_durably();
}

}  // namespace krait
