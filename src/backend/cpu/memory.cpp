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
  void* memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Failure("out of memory: " + std::to_string(bytes) + " bytes");
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

std::shared_ptr<std::byte> MemoryPool::take(int64_t bytes) {
  const int64_t size = round_up(bytes, kAlignment);
  if (!block_ || used_ + size > block_->bytes()) {
    block_ = std::make_shared<Memory>(std::max(size, kPoolBlock) + kHugePage);
    const auto address = reinterpret_cast<intptr_t>(block_->data());
    used_ = round_up(address, kHugePage) - address;
  }
  std::byte* piece = block_->data() + used_;
  used_ += size;
  return {block_, piece};
}

}  // namespace krait
