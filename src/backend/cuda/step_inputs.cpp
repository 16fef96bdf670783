#include "src/backend/cuda/step_inputs.h"

#include <algorithm>
#include <cstring>

#include "krait/error.h"
#include "src/backend/cuda/memory.h"

namespace krait::cuda {
namespace {

constexpr int64_t kLeastCapacity = int64_t{64} << 10;

static_assert(sizeof(Segment) == sizeof(krait::Segment));

int64_t ids_offset(int64_t segments) noexcept {
  return (segments * static_cast<int64_t>(sizeof(Segment)) + 15) / 16 * 16;
}

bool same(const krait::Segment& a, const krait::Segment& b) noexcept {
  return a.slot == b.slot && a.begin == b.begin && a.length == b.length;
}
bool equal(std::span<const krait::Segment> a, std::span<const krait::Segment> b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}
bool equal(std::span<const int32_t> a, std::span<const int32_t> b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

int64_t StepInputs::bytes(int64_t ids, int64_t segments) noexcept {
  return ids_offset(segments) + ids * static_cast<int64_t>(sizeof(int32_t));
}

void StepInputs::reserve(int64_t wanted) {
  if (wanted <= capacity_) return;
  synchronize(stream_);
  const int64_t capacity = std::max({wanted, 2 * capacity_, kLeastCapacity});
  known_ = false;
  device_ = require_device(capacity, "the ids of a step");
  ++moves_;
  for (Slot& slot : slots_) {
    slot.memory = allocate_pinned(capacity);
    if (!slot.copied) slot.copied = make_event();
    slot.used = false;
  }
  capacity_ = capacity;
}

void StepInputs::write(std::span<const int32_t> ids, std::span<const krait::Segment> segments,
                       std::byte* host) {
  if (!segments.empty()) std::memcpy(host, segments.data(), segments.size_bytes());
  if (!ids.empty())
    std::memcpy(host + ids_offset(std::ssize(segments)), ids.data(), ids.size_bytes());
  if (ids.data() != ids_.data()) ids_.assign(ids.begin(), ids.end());
  if (segments.data() != segments_.data()) segments_.assign(segments.begin(), segments.end());
  known_ = true;
}

void StepInputs::set(std::span<const int32_t> ids, std::span<const krait::Segment> segments) {
  if (known_ && equal(ids, ids_) && equal(segments, segments_)) return;
  const int64_t size = bytes(std::ssize(ids), std::ssize(segments));
  reserve(size);
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % kSlots;
  if (slot.used) wait(slot.copied);
  write(ids, segments, slot.memory.get());
  copy_to_device(stream_, slot.memory.get(), device_.get(), size);
  record(stream_, slot.copied);
  slot.used = true;
}

const int32_t* StepInputs::ids(std::span<const int32_t> ids) {
  set(ids, segments_);
  return reinterpret_cast<const int32_t*>(device_.get() + ids_offset(std::ssize(segments_)));
}

Segments StepInputs::segments(std::span<const krait::Segment> segments) {
  set(ids_, segments);
  int32_t tokens = 0;
  for (const krait::Segment& segment : segments) tokens += segment.length;
  return {reinterpret_cast<const Segment*>(device_.get()), static_cast<int32_t>(segments.size()),
          tokens};
}

}  // namespace krait::cuda
