#include "src/formats/mapped_file.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "krait/checkpoint.h"

namespace krait {

// Read by a handler of signals: atomics only.
struct MappedRange {
  std::atomic<bool> taken = false;
  std::atomic<uintptr_t> begin = 0;  // 0: of no file
  std::atomic<size_t> size = 0;
  std::atomic<bool> damaged = false;
};

namespace {

constexpr size_t kMostRanges = 1024;  // files beyond are not defended
std::array<MappedRange, kMostRanges> ranges;

MappedRange* add_range(std::span<const std::byte> bytes) noexcept {
  for (MappedRange& range : ranges) {
    if (range.taken.exchange(true)) continue;
    range.size = bytes.size();
    range.damaged = false;
    range.begin = reinterpret_cast<uintptr_t>(bytes.data());
    return &range;
  }
  return nullptr;
}

void remove_range(MappedRange* range) noexcept {
  if (range == nullptr) return;
  range->begin = 0;
  range->taken = false;
}

}  // namespace

bool survive_bus_error(const void* address) noexcept {
  const auto byte = reinterpret_cast<uintptr_t>(address);
  for (MappedRange& range : ranges) {
    const uintptr_t begin = range.begin;
    if (begin == 0 || byte < begin || byte - begin >= range.size) continue;
    range.damaged = true;
    return ::mmap(reinterpret_cast<void*>(begin), range.size, PROT_READ,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return false;
}

MappedFile::MappedFile(std::string path) : path_(std::move(path)), file_(path_) {
  if (file_.size() == 0) throw InputError(path_ + " is empty");
  void* start = ::mmap(nullptr, file_.size(), PROT_READ, MAP_SHARED, file_.descriptor(), 0);
  if (start == MAP_FAILED) throw_errno("map into memory", path_);
  bytes_ = {static_cast<const std::byte*>(start), file_.size()};
  range_ = add_range(bytes_);
  ::madvise(start, file_.size(), MADV_SEQUENTIAL);  // a hint: tensors are read once, front to back
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      bytes_(std::exchange(other.bytes_, {})),
      range_(std::exchange(other.range_, nullptr)) {}

MappedFile::~MappedFile() {
  remove_range(range_);
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool MappedFile::contains(const std::byte* byte) const noexcept {
  const std::less<const std::byte*> before;  // also defined between different arrays
  return !before(byte, bytes_.data()) && before(byte, bytes_.data() + bytes_.size());
}

void MappedFile::check_unchanged() const {
  if (!file_.is_unchanged())
    throw Failure(path_ + " was changed by somebody else while it was being read; try again when " +
                  "that is over");
  if (range_ != nullptr && range_->damaged)
    throw Failure("cannot read " + path_ + ": the system could not bring all of it into memory");
}

void MappedFile::release(std::span<const std::byte> range) const noexcept {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(range.data());
  const uintptr_t first = (start + page - 1) / page * page;
  const uintptr_t end = (start + range.size()) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

}  // namespace krait
