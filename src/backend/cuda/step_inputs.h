// The ids and segments of a step in device memory, where kernels read them. They are copied when
// they change, both at once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/kernels.h"
#include "krait/backend.h"
#include "src/backend/cuda/runtime.h"

namespace krait::cuda {

class StepInputs {
 public:
  explicit StepInputs(Stream stream) : stream_(stream) {}

  // From now on the step's; what is there already is not copied again.
  void set(std::span<const int32_t> ids, std::span<const krait::Segment> segments);

  // Their device addresses, valid for work queued before the next change.
  const int32_t* ids(std::span<const int32_t> ids);
  Segments segments(std::span<const krait::Segment> segments);

  // ---- for graphs, which copy from host memory of their own -----------------------------------
  // Bytes that set() copies.
  static int64_t bytes(int64_t ids, int64_t segments) noexcept;
  // Writes them to `host` and takes them as being on the device.
  void write(std::span<const int32_t> ids, std::span<const krait::Segment> segments,
             std::byte* host);
  // ... or not, after all.
  void forget() noexcept { known_ = false; }
  std::byte* device() const noexcept { return device_.get(); }
  // How often device() has changed.
  int64_t moves() const noexcept { return moves_; }

 private:
  struct Slot {
    PinnedMemory memory;
    Event copied;
    bool used = false;
  };
  static constexpr int kSlots = 4;

  void reserve(int64_t bytes);

  Stream stream_;
  DeviceMemory device_;  // segments, then ids
  int64_t capacity_ = 0, moves_ = 0;
  Slot slots_[kSlots];
  int next_ = 0;
  bool known_ = false;  // what the device holds:
  std::vector<int32_t> ids_;
  std::vector<krait::Segment> segments_;
};

}  // namespace krait::cuda
