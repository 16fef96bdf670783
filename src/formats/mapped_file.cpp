#include "src/formats/mapped_file.h"

#include <cstdint>
#include <functional>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  const InputFile file(path_);
  if (file.size() == 0) throw InputError(path_ + " is empty");
  void* start = ::mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (start == MAP_FAILED) throw_errno("map into memory", path_);
  bytes_ = {static_cast<const std::byte*>(start), file.size()};
  ::madvise(start, file.size(), MADV_SEQUENTIAL);  // a hint: tensors are read once, front to back
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool MappedFile::contains(const std::byte* byte) const noexcept {
  const std::less<const std::byte*> before;  // also defined between different arrays
  return !before(byte, bytes_.data()) && before(byte, bytes_.data() + bytes_.size());
}

void MappedFile::release(std::span<const std::byte> range) const noexcept {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(range.data());
  const uintptr_t first = (start + page - 1) / page * page;
  const uintptr_t end = (start + range.size()) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

}  // namespace krait
