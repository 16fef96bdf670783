#include "src/backend/cuda/memory.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>

#include "krait/error.h"
#include "src/backend/cuda/packing.h"

namespace krait::cuda {
namespace {

constexpr int64_t kPieceBytes = int64_t{16} << 20;
constexpr int64_t kPartsPerThread = 4;
constexpr int64_t kZerosAfter = 64;  // floats that follow a vector

std::string megabytes(int64_t bytes) {
  return std::to_string((bytes + (int64_t{1} << 20) - 1) >> 20) + " MiB";
}

}  // namespace

DeviceMemory require_device(int64_t bytes, const std::string& what) {
  DeviceMemory memory = allocate_device(std::max<int64_t>(bytes, 1));
  if (memory) return memory;
  const MemoryInfo info = memory_info();
  throw Failure("out of GPU memory: " + what + " takes " + megabytes(bytes) + "; " +
                std::to_string(info.free_bytes >> 20) + " of " + megabytes(info.total_bytes) +
                " are free; use narrower weights (--dtype), a smaller --chunk or batch, or "
                "--device cpu");
}

void WeightLoader::rest() noexcept {
  if (piece_bytes_ == 0) return;  // nothing is locked for every token
  const std::lock_guard lock(loading_);
  for (Piece& piece : pieces_) piece.memory.reset();  // copies from them are done: see matrix()
  piece_bytes_ = 0;
}

void WeightLoader::take_pieces(int64_t bytes) {
  if (piece_bytes_ >= bytes) return;
  piece_bytes_ = 0;
  for (Piece& piece : pieces_) {
    piece.memory.reset();
    piece.memory = allocate_pinned(bytes);
    if (!piece.copied) piece.copied = make_event();
  }
  piece_bytes_ = bytes;
}

void WeightLoader::pack(const Tensor& tensor, Format format, int64_t first, int64_t last,
                        std::byte* tiles, std::byte* scales, const std::string& name) {
  const Layout layout = layout_of(format, tensor.shape[0], tensor.shape[1]);
  std::exception_ptr error;
  std::mutex error_lock;
  pool_.split(last - first, kPartsPerThread * pool_.size(), [&](int64_t begin, int64_t end) {
    try {
      pack_tiles(tensor, format, first + begin, first + end, tiles + begin * layout.row_tile_bytes,
                 scales + begin * (layout.scale_bytes + layout.super_bytes), name);
    } catch (...) {
      const std::lock_guard lock(error_lock);
      error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

std::unique_ptr<Matrix> WeightLoader::matrix(const Tensor& tensor, DType type,
                                             const std::string& name) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  KRAIT_CHECK(tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0);
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  if (rows > kMost || cols > kMost)
    throw InputError("tensor " + name + " has shape " + to_string(tensor.shape) +
                     ", beyond what the CUDA backend can address");
  const Format format = format_of(type);
  const Layout layout = layout_of(format, rows, cols);
  const int64_t scale_bytes = layout.scale_bytes + layout.super_bytes;  // of a row tile
  auto m = std::make_unique<CudaMatrix>();
  m->rows = rows;
  m->cols = cols;
  m->dtype = type;
  m->bytes = layout.weight_bytes() + layout.all_scale_bytes();
  m->memory = require_device(m->bytes, "tensor " + name);
  m->weights = {m->memory.get(), scale_bytes ? m->memory.get() + layout.weight_bytes() : nullptr,
                format, static_cast<int32_t>(rows), static_cast<int32_t>(cols)};

  const std::lock_guard lock(loading_);
  const int64_t tile_bytes = layout.row_tile_bytes + scale_bytes;
  take_pieces(std::max(kPieceBytes, tile_bytes));
  const int64_t tiles_per_piece = piece_bytes_ / tile_bytes;
  int64_t used = 0;
  for (int64_t first = 0; first < layout.row_tiles; first += tiles_per_piece, ++used) {
    const int64_t last = std::min(first + tiles_per_piece, layout.row_tiles);
    Piece& piece = pieces_[used % 2];
    if (used >= 2) wait(piece.copied);
    std::byte* tiles = piece.memory.get();
    std::byte* scales = tiles + (last - first) * layout.row_tile_bytes;
    pack(tensor, format, first, last, tiles, scales, name);
    copy_to_device(stream_, tiles, m->memory.get() + first * layout.row_tile_bytes,
                   (last - first) * layout.row_tile_bytes);
    if (scale_bytes > 0)
      copy_to_device(stream_, scales, m->memory.get() + layout.weight_bytes() + first * scale_bytes,
                     (last - first) * scale_bytes);
    record(stream_, piece.copied);
  }
  for (int64_t i = 0; i < std::min<int64_t>(used, 2); ++i) wait(pieces_[i].copied);
  return m;
}

std::unique_ptr<Vector> WeightLoader::vector(std::span<const float> values) {
  auto v = std::make_unique<CudaVector>();
  v->size = static_cast<int64_t>(values.size());
  const auto bytes = static_cast<int64_t>(values.size_bytes());
  const int64_t padding = kZerosAfter * static_cast<int64_t>(sizeof(float));
  v->memory = require_device(bytes + padding, "a vector of parameters");
  const std::lock_guard lock(loading_);
  copy_to_device(stream_, values.data(), v->memory.get(), bytes);
  fill_zeros(stream_, v->memory.get() + bytes, padding);
  return v;
}

}  // namespace krait::cuda
