// Matrices, vectors and buffers in the memory of a GPU.
#pragma once

#include <atomic>
#include <mutex>

#include "kernels/cuda/kernels.h"
#include "krait/backend.h"
#include "src/backend/cuda/runtime.h"
#include "src/base/thread_pool.h"

namespace krait::cuda {

struct CudaMatrix final : Matrix {
  DeviceMemory memory;  // tiles, then scales
  Weights weights;
};

// Followed by zeros, so that kernels may read whole vectors beyond the end.
struct CudaVector final : Vector {
  DeviceMemory memory;
  const float* data() const noexcept { return reinterpret_cast<const float*>(memory.get()); }
};

struct CudaBuffer final : Buffer {
  DeviceMemory memory;
};

// Throws Failure, naming what it is for, when the GPU has not that much left.
DeviceMemory require_device(int64_t bytes, const std::string& what);

// Brings weights to the GPU, in pieces: while one is copied the next is packed. Any thread may call
// it; one at a time works.
class WeightLoader {
 public:
  WeightLoader(Stream stream, int32_t threads) : stream_(stream), pool_(threads) {}

  std::unique_ptr<Matrix> matrix(const Tensor& tensor, DType type, const std::string& name);
  std::unique_ptr<Vector> vector(std::span<const float> values);

  // Gives the memory for copies back; it is taken again when needed.
  void rest() noexcept;

 private:
  struct Piece {
    PinnedMemory memory;
    Event copied;
  };
  void take_pieces(int64_t bytes);
  void pack(const Tensor& tensor, Format format, int64_t first, int64_t last, std::byte* tiles,
            std::byte* scales, const std::string& name);

  Stream stream_;
  std::mutex loading_;
  ThreadPool pool_;
  Piece pieces_[2];
  std::atomic<int64_t> piece_bytes_ = 0;
};

}  // namespace krait::cuda
