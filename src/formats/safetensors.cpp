#include "src/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kLengthBytes = 8;
constexpr size_t kMaxRank = 64;  // PyTorch's own limit
constexpr uint64_t kMaxDimension = std::numeric_limits<int64_t>::max();

struct StoredType {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;
};

constexpr std::array<StoredType, 22> kTypes = {{
    {"F32", 32, DType::f32},
    {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16},
    {"F64", 64, DType::f64},
    {"I8", 8, DType::i8},
    {"I16", 16, DType::i16},
    {"I32", 32, DType::i32},
    {"I64", 64, DType::i64},
    {"U8", 8, DType::u8},
    {"BOOL", 8, DType::boolean},
    {"U16", 16, std::nullopt},
    {"U32", 32, std::nullopt},
    {"U64", 64, std::nullopt},
    {"C64", 64, std::nullopt},
    {"F8_E4M3", 8, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},
    {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
}};

// One tensor as the header describes it.
struct Description {
  std::string name;
  const StoredType* type = nullptr;
  std::optional<Shape> shape;
  std::optional<std::array<uint64_t, 2>> offsets;
};

std::string tensor_words(const std::string& name) { return "tensor " + quote(name) + ": "; }

// Reads the header event by event: no tree is built, so memory stays in proportion to the header
// even for a hostile one.
class HeaderReader final : public JsonEvents {
 public:
  void scalar(json&& value) override;
  void key(std::string&& name) override;
  void begin_object() override;
  void end_object() override;
  void begin_array() override;
  void end_array() override;

  std::vector<Description> descriptions;

 private:
  enum class Place { outside, header, metadata, tensor, shape, offsets };

  [[noreturn]] void refuse(const std::string& found) const;
  void open_field(const std::string& name);
  Description& tensor() { return descriptions.back(); }

  Place place_ = Place::outside;
  std::string field_;  // the latest key of a tensor or of the header
  std::set<std::string> metadata_keys_;
  bool metadata_seen_ = false;
  size_t offset_count_ = 0;
};

void HeaderReader::refuse(const std::string& found) const {
  switch (place_) {
    case Place::outside: break;
    case Place::header: throw InputError(quote(field_) + " is " + found + "; expected an object");
    case Place::metadata:
      throw InputError("\"__metadata__\" holds " + found + "; expected only strings");
    case Place::tensor:
      throw InputError(tensor_words(descriptions.back().name) + quote(field_) + " is " + found +
                       "; expected " +
                       (field_ == "dtype" ? "a string" : "an array of non-negative integers"));
    case Place::shape:
    case Place::offsets:
      throw InputError(tensor_words(descriptions.back().name) + quote(field_) + " holds " + found +
                       "; expected only non-negative integers");
  }
  throw InputError("found " + found + "; expected an object");
}

void HeaderReader::scalar(json&& value) {
  const auto found = [&] {
    return value.is_string() ? std::string("a string") : quote(value.dump());
  };
  switch (place_) {
    case Place::outside:
    case Place::header: refuse(found());
    case Place::metadata:
      if (!value.is_string()) refuse(found());
      return;
    case Place::tensor: {
      if (field_ != "dtype" || !value.is_string()) refuse(found());
      const std::string& name = value.get_ref<const std::string&>();
      const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                     [&](const StoredType& known) { return known.name == name; });
      if (type == kTypes.end())
        throw InputError(tensor_words(tensor().name) + "unknown dtype " + quote(name));
      tensor().type = &*type;
      return;
    }
    case Place::shape:
      if (!value.is_number_unsigned()) refuse(found());
      if (tensor().shape->size() == kMaxRank)
        throw InputError(tensor_words(tensor().name) + "more than " + std::to_string(kMaxRank) +
                         " dimensions");
      if (value.get<uint64_t>() > kMaxDimension) refuse(found());
      tensor().shape->push_back(value.get<int64_t>());
      return;
    case Place::offsets:
      if (!value.is_number_unsigned()) refuse(found());
      if (offset_count_ < 2) (*tensor().offsets)[offset_count_] = value.get<uint64_t>();
      ++offset_count_;
      return;
  }
}

void HeaderReader::key(std::string&& name) {
  if (place_ == Place::metadata) {
    if (!metadata_keys_.insert(name).second)
      throw InputError("duplicate key " + quote(name) + " in \"__metadata__\"");
    return;
  }
  if (place_ == Place::tensor) open_field(name);
  field_ = std::move(name);
}

void HeaderReader::open_field(const std::string& name) {
  const bool known = name == "dtype" || name == "shape" || name == "data_offsets";
  if (!known)
    throw InputError(tensor_words(tensor().name) + "unknown key " + quote(name) +
                     "; expected only dtype, shape and data_offsets");
  const bool seen = name == "dtype"   ? tensor().type != nullptr
                    : name == "shape" ? tensor().shape.has_value()
                                      : tensor().offsets.has_value();
  if (seen) throw InputError(tensor_words(tensor().name) + "duplicate key " + quote(name));
}

void HeaderReader::begin_object() {
  if (place_ == Place::outside) {
    place_ = Place::header;
  } else if (place_ != Place::header) {
    refuse("an object");
  } else if (field_ == "__metadata__") {
    if (std::exchange(metadata_seen_, true)) throw InputError("duplicate key \"__metadata__\"");
    place_ = Place::metadata;
  } else {
    descriptions.emplace_back().name = std::move(field_);
    place_ = Place::tensor;
  }
}

void HeaderReader::end_object() {
  if (place_ == Place::tensor) {
    const char* missing = !tensor().type      ? "dtype"
                          : !tensor().shape   ? "shape"
                          : !tensor().offsets ? "data_offsets"
                                              : nullptr;
    if (missing) throw InputError(tensor_words(tensor().name) + "has no \"" + missing + "\"");
  }
  place_ = place_ == Place::header ? Place::outside : Place::header;
}

void HeaderReader::begin_array() {
  if (place_ != Place::tensor || field_ == "dtype") refuse("an array");
  if (field_ == "shape") {
    tensor().shape.emplace();
    place_ = Place::shape;
  } else {
    tensor().offsets.emplace();
    offset_count_ = 0;
    place_ = Place::offsets;
  }
}

void HeaderReader::end_array() {
  if (place_ == Place::offsets && offset_count_ != 2)
    throw InputError(tensor_words(tensor().name) + "\"data_offsets\" holds " +
                     std::to_string(offset_count_) + " numbers; expected 2");
  place_ = Place::tensor;
}

// The JSON header and what follows it.
struct Parts {
  std::string_view header;
  std::span<const std::byte> data;
};

Parts split(std::span<const std::byte> file, const std::string& source) {
  constexpr std::string_view kPointer = "version https://git-lfs";
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with(kPointer))
    throw InputError(source + " is a Git LFS pointer, not the weights it stands for; fetch them " +
                     "with `git lfs pull`");
  if (file.size() < kLengthBytes)
    throw InputError(source + " is no safetensors file: it has " + std::to_string(file.size()) +
                     " bytes; expected at least 8");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeader)
    throw InputError(source + " is no safetensors file: header length " + std::to_string(length) +
                     "; expected at most " + std::to_string(kMaxSafetensorsHeader));
  if (length > file.size() - kLengthBytes)
    throw InputError(source + " is cut short: a header of " + std::to_string(length) +
                     " bytes, but only " + std::to_string(file.size() - kLengthBytes) + " follow");
  const Parts parts{text.substr(kLengthBytes, length), file.subspan(kLengthBytes + length)};
  if (!parts.header.starts_with('{'))
    throw InputError(source + " is no safetensors file: its header does not start with '{'");
  return parts;
}

// The tensor's size by its shape; dimensions other than zeros must not overflow either, so that no
// order of multiplication does.
uint64_t bytes_by_shape(const Description& tensor) {
  uint64_t elements = 1;
  bool empty = false;
  for (const int64_t dimension : *tensor.shape) {
    empty = empty || dimension == 0;
    const auto factor = static_cast<uint64_t>(std::max<int64_t>(dimension, 1));
    if (__builtin_mul_overflow(elements, factor, &elements) || elements > kMaxDimension)
      throw InputError(tensor_words(tensor.name) + "shape " + to_string(*tensor.shape) +
                       " has more elements than 63 bits can count");
  }
  if (empty) return 0;
  uint64_t bits = 0;
  if (__builtin_mul_overflow(elements, tensor.type->bits, &bits))
    throw InputError(tensor_words(tensor.name) + "shape " + to_string(*tensor.shape) + " of " +
                     std::string(tensor.type->name) + " has more bits than 64 bits can count");
  if (bits % 8 != 0)
    throw InputError(tensor_words(tensor.name) + "shape " + to_string(*tensor.shape) + " of " +
                     std::string(tensor.type->name) + " does not fill whole bytes");
  return bits / 8;
}

void check_tensor(const Description& tensor, uint64_t data_bytes) {
  const auto [begin, end] = *tensor.offsets;
  const std::string range = std::to_string(begin) + " to " + std::to_string(end);
  if (begin > end)
    throw InputError(tensor_words(tensor.name) + "data_offsets run backwards, " + range);
  if (end > data_bytes)
    throw InputError(tensor_words(tensor.name) + "data_offsets are " + range + ", but only " +
                     std::to_string(data_bytes) + " bytes of data follow the header");
  const uint64_t expected = bytes_by_shape(tensor);
  if (end - begin != expected)
    throw InputError(tensor_words(tensor.name) + "data_offsets are " + range + ", " +
                     std::to_string(end - begin) + " bytes; shape " + to_string(*tensor.shape) +
                     " of " + std::string(tensor.type->name) + " needs " +
                     std::to_string(expected));
}

// Tensors side by side from the first byte of the data to the last: no overlap, no hole.
void check_coverage(const std::vector<Description>& tensors, uint64_t data_bytes) {
  std::vector<const Description*> order;
  for (const Description& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return *a->offsets < *b->offsets; });
  uint64_t covered = 0;
  for (const Description* tensor : order) {
    const auto [begin, end] = *tensor->offsets;
    if (begin != covered)
      throw InputError(tensor_words(tensor->name) + "its data begin at " + std::to_string(begin) +
                       (begin < covered ? ", inside" : ", after a hole behind") +
                       " the tensor before it; expected " + std::to_string(covered));
    covered = end;
  }
  if (covered != data_bytes)
    throw InputError(std::to_string(data_bytes) + " bytes of data follow the header; its tensors " +
                     "cover " + std::to_string(covered));
}

void check_names(const std::vector<Description>& sorted) {
  const auto twice = std::adjacent_find(
      sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != sorted.end()) throw InputError("duplicate key " + quote(twice->name));
}

}  // namespace

std::vector<WeightsEntry> parse_safetensors(std::span<const std::byte> file,
                                            const std::string& source) {
  const Parts parts = split(file, source);
  HeaderReader reader;
  parse_json_events(parts.header, source + " (header)", reader);
  std::vector<Description>& tensors = reader.descriptions;
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  try {
    check_names(tensors);
    for (const Description& tensor : tensors) check_tensor(tensor, parts.data.size());
    check_coverage(tensors, parts.data.size());
  } catch (const InputError& error) {
    throw InputError(source + ": " + error.what());
  }
  std::vector<WeightsEntry> entries;
  entries.reserve(tensors.size());
  for (Description& tensor : tensors) {
    const auto [begin, end] = *tensor.offsets;
    const std::optional<DType> dtype = tensor.type->dtype;
    entries.push_back({std::move(tensor.name),
                       {dtype.value_or(DType::u8), std::move(*tensor.shape),
                        parts.data.subspan(begin, end - begin)},
                       dtype ? std::string_view() : tensor.type->name});
  }
  return entries;
}

WeightsFile read_safetensors(const std::string& path) {
  WeightsFile weights(path, "safetensors");
  weights.entries =
      parse_mapped(weights.file, [&](auto bytes) { return parse_safetensors(bytes, path); });
  return weights;
}

}  // namespace krait
