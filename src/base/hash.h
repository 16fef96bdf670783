// Checksums and fingerprints: XXH3, 64 bits. They find accidents, not forgers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

namespace krait {

uint64_t hash_of(std::span<const std::byte> bytes) noexcept;

// The same over pieces: the value depends on all their bytes in order, not on where they were cut.
class Hasher {
 public:
  Hasher();  // throws std::bad_alloc
  void add(std::span<const std::byte> bytes) noexcept;

  // With its length, so that neighbouring texts cannot run into each other.
  void add(std::string_view text) noexcept;

  template <class T>
  requires std::is_arithmetic_v<T>
  void add(T value) noexcept { add(std::as_bytes(std::span(&value, 1))); }

  uint64_t value() const noexcept;

 private:
  struct Free {
    void operator()(void* state) const noexcept;
  };
  std::unique_ptr<void, Free> state_;
};

}  // namespace krait
