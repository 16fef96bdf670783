// Reading a binary file number by number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "krait/error.h"

namespace krait {

// A place in the bytes of a file that never moves past their end. `what`, in every call, names the
// thing being read, for messages. All members but position() and remaining() throw InputError.
class ByteCursor {
 public:
  ByteCursor(std::span<const std::byte> file, const std::string& source)
      : file_(file), source_(source) {}

  size_t position() const noexcept { return at_; }
  size_t remaining() const noexcept { return file_.size() - at_; }

  [[noreturn]] void fail(const std::string& what) const { throw InputError(source_ + ": " + what); }

  template <class T>
  T number(const std::string& what) {
    require(sizeof(T), what);
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  // A u64 length, then that many bytes of UTF-8. The text lies in the file.
  std::string_view text(const std::string& what);

  // The next `count` bytes, in the file.
  std::span<const std::byte> bytes(uint64_t count, const std::string& what);

 private:
  void require(uint64_t bytes, const std::string& what) const;

  std::span<const std::byte> file_;
  const std::string& source_;
  size_t at_ = 0;
};

}  // namespace krait
