#include "src/tokenizer/protobuf.h"

#include <bit>

#include "krait/error.h"

namespace krait {
namespace {

constexpr uint64_t kMaxFieldNumber = (uint64_t{1} << 29) - 1;

std::string_view name_of(ProtobufField::Wire wire) {
  switch (wire) {
    case ProtobufField::Wire::varint: return "a varint";
    case ProtobufField::Wire::fixed64: return "a number of 64 bits";
    case ProtobufField::Wire::bytes: return "a string";
    case ProtobufField::Wire::fixed32: return "a number of 32 bits";
  }
  return "";
}

void append_varint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_tag(uint32_t number, ProtobufField::Wire wire, std::string& out) {
  append_varint(uint64_t{number} << 3 | static_cast<uint64_t>(wire), out);
}

}  // namespace

std::string ProtobufField::path(std::string_view name) const {
  return std::string(message) + (message.empty() ? "" : ".") + std::string(name);
}

void ProtobufField::fail(std::string_view name, const std::string& found,
                         const std::string& expected) const {
  throw InputError(*file + ": " + path(name) + " is " + found + "; expected " + expected);
}

std::string_view ProtobufField::text(std::string_view name) const {
  if (wire != Wire::bytes) fail(name, std::string(name_of(wire)), "a string");
  return bytes;
}

float ProtobufField::real(std::string_view name) const {
  if (wire != Wire::fixed32) fail(name, std::string(name_of(wire)), "a number of 32 bits");
  return std::bit_cast<float>(static_cast<uint32_t>(value));
}

bool ProtobufField::boolean(std::string_view name) const { return integer(name, 0, 1) == 1; }

int32_t ProtobufField::integer(std::string_view name, int32_t least, int32_t most) const {
  if (wire != Wire::varint) fail(name, std::string(name_of(wire)), "a varint");
  const auto found = static_cast<int64_t>(value);
  if (found < least || found > most)
    fail(name, std::to_string(found),
         "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return static_cast<int32_t>(found);
}

void ProtobufReader::fail(const std::string& what) const {
  const std::string place = message_.empty() ? "" : std::string(message_) + ": ";
  throw InputError(file_ + ": " + place + what + "; expected a sentencepiece model");
}

uint64_t ProtobufReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ == bytes_.size()) fail("ends inside a number");
    const auto byte = static_cast<unsigned char>(bytes_[at_++]);
    if (shift == 63 && byte > 1) break;  // beyond 64 bits
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("has a number of more than 64 bits");
}

uint64_t ProtobufReader::fixed(size_t size) {
  if (bytes_.size() - at_ < size) fail("ends inside a number");
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes_[at_++])) << (8 * i);
  return value;
}

bool ProtobufReader::next(ProtobufField& field) {
  if (at_ == bytes_.size()) return false;
  field = {};
  field.file = &file_;
  field.message = message_;
  const uint64_t tag = varint();
  if (tag >> 3 == 0 || tag >> 3 > kMaxFieldNumber)
    fail("has a field of number " + std::to_string(tag >> 3));
  field.number = static_cast<uint32_t>(tag >> 3);
  field.wire = static_cast<ProtobufField::Wire>(tag & 7);
  switch (field.wire) {
    case ProtobufField::Wire::varint: field.value = varint(); return true;
    case ProtobufField::Wire::fixed64: field.value = fixed(8); return true;
    case ProtobufField::Wire::fixed32: field.value = fixed(4); return true;
    case ProtobufField::Wire::bytes: {
      const uint64_t size = varint();
      if (size > bytes_.size() - at_)
        fail("field " + std::to_string(field.number) + " has " + std::to_string(size) +
             " bytes where " + std::to_string(bytes_.size() - at_) + " are left");
      field.bytes = bytes_.substr(at_, size);
      at_ += size;
      return true;
    }
  }
  fail("field " + std::to_string(field.number) + " has wire type " + std::to_string(tag & 7));
}

void append_varint_field(uint32_t number, uint64_t value, std::string& out) {
  append_tag(number, ProtobufField::Wire::varint, out);
  append_varint(value, out);
}

void append_float_field(uint32_t number, float value, std::string& out) {
  append_tag(number, ProtobufField::Wire::fixed32, out);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(bits >> shift);
}

void append_bytes_field(uint32_t number, std::string_view bytes, std::string& out) {
  append_tag(number, ProtobufField::Wire::bytes, out);
  append_varint(bytes.size(), out);
  out += bytes;
}

}  // namespace krait
