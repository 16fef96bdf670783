// Protocol buffers on the wire (protobuf.dev, "Encoding"), as far as sentencepiece models need
// them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace krait {

// One field of a message with its value, and the accessors that hold it to a type: they throw
// InputError naming the field, what was found and what was expected.
struct ProtobufField {
  enum class Wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

  const std::string* file = nullptr;
  std::string_view message;  // the message it stands in, for messages to people: "pieces[3]"
  uint32_t number = 0;
  Wire wire = Wire::varint;
  uint64_t value = 0;      // of a number, as it stands on the wire
  std::string_view bytes;  // of a string or message

  // "pieces[3].score" for the name "score".
  std::string path(std::string_view name) const;
  [[noreturn]] void fail(std::string_view name, const std::string& found,
                         const std::string& expected) const;

  std::string_view text(std::string_view name) const;  // any bytes
  float real(std::string_view name) const;
  bool boolean(std::string_view name) const;
  int32_t integer(std::string_view name, int32_t least, int32_t most) const;
};

// Walks the fields of one message in the order of the bytes. Refers to its arguments, which must
// outlive it.
class ProtobufReader {
 public:
  // `message` names it in messages to people; empty: the whole file.
  ProtobufReader(std::string_view bytes, const std::string& file, std::string_view message)
      : bytes_(bytes), file_(file), message_(message) {}

  // The next field, or false at the end. Throws InputError for what is not well-formed.
  bool next(ProtobufField& field);

 private:
  [[noreturn]] void fail(const std::string& what) const;
  uint64_t varint();
  uint64_t fixed(size_t size);

  std::string_view bytes_;
  const std::string& file_;
  std::string_view message_;
  size_t at_ = 0;
};

// Appends fields to a message.
void append_varint_field(uint32_t number, uint64_t value, std::string& out);
void append_float_field(uint32_t number, float value, std::string& out);
void append_bytes_field(uint32_t number, std::string_view bytes, std::string& out);

}  // namespace krait
