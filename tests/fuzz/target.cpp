#include "tests/fuzz/target.h"

#include <algorithm>
#include <array>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "krait/error.h"

namespace krait::fuzz {

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

std::string run(const Target& target, std::string_view input) {
  const std::vector<char> copy(input.begin(), input.end());
  try {
    target.run({copy.data(), copy.size()});
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

MemoryFile::MemoryFile(std::string_view bytes)
    : descriptor_(::memfd_create("input", MFD_CLOEXEC)),
      path_("/proc/self/fd/" + std::to_string(descriptor_)) {
  KRAIT_CHECK(descriptor_ >= 0);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    KRAIT_CHECK(written > 0);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

MemoryFile::~MemoryFile() { ::close(descriptor_); }

void touch(const Tensor& tensor) {
  std::array<float, 256> values;
  const int64_t all = tensor.elements();
  const int64_t count = std::min(all, std::ssize(values));
  copy_to_f32(tensor, 0, count, values.data(), "a tensor");
  copy_to_f32(tensor, all - count, count, values.data(), "a tensor");
}

}  // namespace krait::fuzz
