#include <algorithm>

#include "kernels/cuda/twin/machine.h"
#include "kernels/cuda/twin/sanitizers.h"

namespace krait::cuda::twin {

namespace {
constexpr std::byte kPoison{0xff}, kGuard{0xa5};
#if defined(KRAIT_TWIN_ASAN)
constexpr size_t kGuardBytes = 0;  // AddressSanitizer has its own
#else
constexpr size_t kGuardBytes = 256;  // a multiple of 16
#endif
}  // namespace

void SharedMemory::reset(size_t bytes) {
  if (!memory_ || bytes != bytes_ || kGuardBytes == 0) {
    memory_ = std::make_unique<std::byte[]>(bytes + 2 * kGuardBytes);
    data_ = memory_.get() + kGuardBytes;
    bytes_ = bytes;
    std::fill_n(memory_.get(), bytes + 2 * kGuardBytes, kGuard);
  }
  std::fill_n(data_, bytes, kPoison);
}

bool SharedMemory::intact() const {
  const auto untouched = [](const std::byte* from) {
    return std::all_of(from, from + kGuardBytes, [](std::byte b) { return b == kGuard; });
  };
  return untouched(memory_.get()) && untouched(data_ + bytes_);
}

}  // namespace krait::cuda::twin
