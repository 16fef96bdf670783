#include "src/backend/cpu/memory.h"

#include <string>
#include <utility>

#include <sys/mman.h>

#include "krait/error.h"

namespace krait {

Memory::Memory(int64_t bytes) : bytes_(bytes) {
  if (bytes <= 0) return;
  void* memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Failure("out of memory: " + std::to_string(bytes) + " bytes");
  constexpr int64_t kHugePage = 2 << 20;
  if (bytes >= 2 * kHugePage) madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(memory);
}

Memory::~Memory() {
  if (data_) munmap(data_, static_cast<size_t>(bytes_));
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace krait
