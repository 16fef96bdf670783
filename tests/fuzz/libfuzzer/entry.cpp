// libFuzzer's entry points for the one target that is linked in, and the limits that every run is
// held to: seconds of processor time, and memory beyond the input's.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <sanitizer/allocator_interface.h>

#include "krait/error.h"
#include "tests/fuzz/target.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using krait::fuzz::Random;
using krait::fuzz::Target;

// A parser may take a second for a megabyte, and a tenth of that for anything; both sanitizers and
// -O1 together cost up to four times that.
constexpr double kSlowdown = 4, kLeastSeconds = 0.1, kSecondsPerByte = 0.9 / (1 << 20);
constexpr int64_t kLeastBytes = 64 << 20, kBytesPerByte = 16;

int64_t live_bytes = 0;
int64_t most_bytes = INT64_MAX;  // INT64_MAX outside of a run

void on_malloc(const volatile void*, size_t size) {
  if (most_bytes == INT64_MAX) return;
  live_bytes += static_cast<int64_t>(size);
  if (live_bytes <= most_bytes) return;
  std::fprintf(stderr, "ERROR: out of bounds: %lld bytes of memory in use, at most %lld allowed\n",
               static_cast<long long>(live_bytes), static_cast<long long>(most_bytes));
  most_bytes = INT64_MAX;
  std::abort();
}

void on_free(const volatile void* block) {
  if (most_bytes == INT64_MAX || !block) return;
  live_bytes -= static_cast<int64_t>(__sanitizer_get_allocated_size(block));
}

double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

const Target& target() {
  KRAIT_CHECK(krait::fuzz::targets().size() == 1);
  return krait::fuzz::targets().front();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const double start = processor_seconds();
  live_bytes = 0;
  most_bytes = kLeastBytes + kBytesPerByte * static_cast<int64_t>(size);
  krait::fuzz::run(target(), {reinterpret_cast<const char*>(data), size});
  most_bytes = INT64_MAX;
  const double taken = processor_seconds() - start;
  const double allowed = kSlowdown * (kLeastSeconds + kSecondsPerByte * static_cast<double>(size));
  if (taken > allowed) {
    std::fprintf(stderr, "ERROR: too slow: %.2f s for %zu bytes, at most %.2f s allowed\n", taken,
                 size, allowed);
    std::abort();
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  if (!target().mutate) return LLVMFuzzerMutate(data, size, max_size);
  Random random(seed);
  const auto bytes = [&](std::string text) {
    const size_t before = text.size();
    text.resize(before + 64);
    auto* start = reinterpret_cast<uint8_t*>(text.data());
    text.resize(LLVMFuzzerMutate(start, before, text.size()));
    return text;
  };
  const std::string changed =
      target().mutate({reinterpret_cast<const char*>(data), size}, random, bytes);
  if (changed.empty() || changed.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(changed.begin(), changed.end(), data);
  return changed.size();
}
