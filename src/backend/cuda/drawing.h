// Tokens drawn on the GPU. They come to the host through a ring in host memory that the GPU writes.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/sample.h"
#include "krait/backend.h"
#include "src/backend/cuda/runtime.h"

namespace krait::cuda {

class CudaDrawing final : public Drawing {
 public:
  // Throws Failure when memory is lacking.
  CudaDrawing(int32_t device, Stream stream, int32_t rows, int32_t vocab);
  ~CudaDrawing() override;

  void start(std::span<const krait::Draw> draws, std::span<const int32_t> ids) override;
  void wait(int64_t n, std::span<int32_t> ids) override;

  // Queues a draw from `logits`.
  void draw(krait::Rows logits);
  // One that was queued before runs again, as part of a graph.
  void replayed() noexcept { ++issued_; }
  // The last one was not queued after all.
  void not_run() noexcept { --issued_; }

  // What was drawn last, in device memory.
  const int32_t* ids() const noexcept {
    return reinterpret_cast<const int32_t*>(memory_.get() + ids_offset());
  }
  int32_t vocab() const noexcept { return vocab_; }
  // A number that no other drawing ever had.
  uint64_t number() const noexcept { return number_; }

 private:
  int64_t ids_offset() const noexcept { return rows_ * static_cast<int64_t>(sizeof(Draw)); }
  bool has_come(int32_t row, uint64_t n, int32_t& id) const noexcept;

  int32_t device_;
  Stream stream_;
  int32_t rows_, vocab_;
  uint64_t number_;
  DeviceMemory memory_;  // draws, then ids
  PinnedMemory staged_;  // the same, on its way there
  Event copied_;         // from staged_
  bool copies_ = false;
  PinnedMemory ring_;
  int32_t started_ = 0;  // rows that are drawn
  // Draws in all, which number the words of the ring: those of an earlier start may still come.
  uint64_t issued_ = 0, first_ = 0;
};

}  // namespace krait::cuda
