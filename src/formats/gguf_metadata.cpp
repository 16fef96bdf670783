#include "src/formats/gguf_metadata.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "src/base/json.h"
#include "src/formats/gguf_types.h"

namespace krait {
namespace {

using nlohmann::json;

using Kind = GgufKind;

// The least that one value takes in the file.
constexpr std::array<size_t, 13> kLeastBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
// Of all arrays together: a value takes much more memory than bytes in the file. Enough for a
// vocabulary of 4 million tokens with their types, scores and twice as many merges; the largest
// that are known have less than a million in all.
constexpr uint64_t kMaxElements = uint64_t{1} << 25;

class MetadataReader {
 public:
  explicit MetadataReader(ByteCursor& cursor) : cursor_(cursor) {}

  void read_pair(json& metadata) {
    const std::string key = read_key();
    if (metadata.contains(key)) cursor_.fail("metadata key " + quote(key) + " occurs twice");
    where_ = "metadata key " + quote(key);
    const Kind kind = read_kind("value");
    if (key == "general.alignment" && kind != Kind::u32)
      cursor_.fail(where_ + " has type " + std::to_string(static_cast<int>(kind)) +
                   "; expected 4 (u32)");
    metadata[key] = kind == Kind::array ? read_array() : read_scalar(kind);
  }

 private:
  std::string read_key() {
    const std::string key(cursor_.text("a metadata key"));
    if (key.empty() || key.size() > kGgufMaxKeyBytes)
      cursor_.fail("a metadata key has " + std::to_string(key.size()) + " bytes; expected 1 to " +
                   std::to_string(kGgufMaxKeyBytes));
    if (!std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7f; }))
      cursor_.fail("metadata key " + quote(key) + " holds more than printable ASCII");
    return key;
  }

  Kind read_kind(const char* of) {
    const auto kind = cursor_.number<int32_t>(where_);
    if (kind < 0 || kind >= static_cast<int32_t>(kLeastBytes.size()))
      cursor_.fail(where_ + ": " + of + " type is " + std::to_string(kind) + "; expected 0 to 12");
    return static_cast<Kind>(kind);
  }

  json read_array() {
    const Kind kind = read_kind("element");
    if (kind == Kind::array)
      cursor_.fail(where_ + " is an array of arrays; expected an array of plain values");
    const auto count = cursor_.number<uint64_t>(where_);
    if (count > cursor_.remaining() / kLeastBytes[static_cast<size_t>(kind)])
      cursor_.fail(where_ + " has " + std::to_string(count) +
                   " elements, but the file ends after " + std::to_string(cursor_.remaining()) +
                   " bytes");
    if (count > kMaxElements - elements_)
      cursor_.fail(where_ + " has " + std::to_string(count) + " elements; expected at most " +
                   std::to_string(kMaxElements) + " in all arrays together");
    elements_ += count;
    json::array_t values;
    values.reserve(count);
    for (uint64_t i = 0; i < count; ++i) values.push_back(read_scalar(kind));
    return values;
  }

  json read_scalar(Kind kind) {
    switch (kind) {
      case Kind::u8: return cursor_.number<uint8_t>(where_);
      case Kind::i8: return cursor_.number<int8_t>(where_);
      case Kind::u16: return cursor_.number<uint16_t>(where_);
      case Kind::i16: return cursor_.number<int16_t>(where_);
      case Kind::u32: return cursor_.number<uint32_t>(where_);
      case Kind::i32: return cursor_.number<int32_t>(where_);
      case Kind::f32: return cursor_.number<float>(where_);
      case Kind::u64: return cursor_.number<uint64_t>(where_);
      case Kind::i64: return cursor_.number<int64_t>(where_);
      case Kind::f64: return cursor_.number<double>(where_);
      case Kind::string: return cursor_.text(where_);
      case Kind::boolean: break;
      case Kind::array: KRAIT_CHECK(!"a scalar");
    }
    const auto value = cursor_.number<uint8_t>(where_);
    if (value > 1)
      cursor_.fail(where_ + " is a bool of value " + std::to_string(value) + "; expected 0 or 1");
    return value == 1;
  }

  ByteCursor& cursor_;
  std::string where_;
  uint64_t elements_ = 0;
};

}  // namespace

json read_gguf_metadata(ByteCursor& cursor, uint64_t count) {
  json metadata = json::object();
  MetadataReader reader(cursor);
  for (uint64_t i = 0; i < count; ++i) reader.read_pair(metadata);
  return metadata;
}

}  // namespace krait
