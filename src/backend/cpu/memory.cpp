#include "src/backend/cpu/memory.h"

#include <algorithm>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "krait/error.h"

namespace krait {
namespace {

constexpr int64_t kHugePage = 2 << 20;
constexpr int64_t kPoolBlock = 32 << 20;
constexpr int64_t kAlignment = 64;

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace

Memory::Memory(int64_t bytes) : bytes_(bytes) {
  if (bytes <= 0) return;
  // From half a huge page on in whole ones, which the system gives only where they begin.
  const bool huge = bytes >= kHugePage / 2;
  mapped_bytes_ = huge ? round_up(bytes, kHugePage) + kHugePage : bytes;
  mapped_ = mmap(nullptr, static_cast<size_t>(mapped_bytes_), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped_ == MAP_FAILED) {
    mapped_ = nullptr;
    throw Failure("out of memory: " + std::to_string(bytes) + " bytes");
  }
  data_ = static_cast<std::byte*>(mapped_);
  if (!huge) return;
  const auto address = reinterpret_cast<intptr_t>(mapped_);
  data_ += round_up(address, kHugePage) - address;
  madvise(data_, static_cast<size_t>(round_up(bytes, kHugePage)), MADV_HUGEPAGE);
}

Memory::~Memory() {
  if (mapped_) munmap(mapped_, static_cast<size_t>(mapped_bytes_));
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  return *this;
}

std::shared_ptr<std::byte> MemoryPool::take(int64_t bytes) {
  const int64_t size = round_up(bytes, kAlignment);
  if (!block_ || used_ + size > block_->bytes()) {
    block_ = std::make_shared<Memory>(std::max(size, kPoolBlock));
    used_ = 0;
  }
  std::byte* piece = block_->data() + used_;
  used_ += size;
  return {block_, piece};
}

}  // namespace krait
