// Large aligned allocations for weights, activations and states.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace krait {

// Zeroed memory straight from the system, 64-byte aligned, in huge pages where the system offers
// them; untouched pages cost nothing. Move-only.
class Memory {
 public:
  Memory() = default;
  explicit Memory(int64_t bytes);  // throws Failure when the system has no more
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  std::byte* data() const noexcept { return data_; }
  int64_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  void* mapped_ = nullptr;  // what data_ lies in
  int64_t mapped_bytes_ = 0;
};

// Pieces of large allocations, for matrices and parameters: one by one many of them are too small for huge pages.
// A piece keeps its allocation alive; pieces given back are not used again.
class MemoryPool {
 public:
  // Zeroed memory, 64-byte aligned. Throws Failure when the system has no more.
  std::shared_ptr<std::byte> take(int64_t bytes);

 private:
  std::shared_ptr<Memory> block_;
  int64_t used_ = 0;
};

}  // namespace krait
