#include "src/backend/cuda/drawing.h"

#include <atomic>
#include <cstring>
#include <thread>

#include "krait/error.h"
#include "src/backend/cuda/memory.h"

namespace krait::cuda {
namespace {

static_assert(Drawing::kMostTopK == kMostTopK);

constexpr uint32_t kRing = uint32_t{Drawing::kMostAhead};

uint64_t next_number() noexcept {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

template <class T>
int64_t bytes_of(int64_t count) noexcept {
  return count * static_cast<int64_t>(sizeof(T));
}

}  // namespace

CudaDrawing::CudaDrawing(int32_t device, Stream stream, int32_t rows, int32_t vocab)
    : device_(device), stream_(stream), rows_(rows), vocab_(vocab), number_(next_number()) {
  KRAIT_CHECK(rows >= 1 && vocab >= 1);
  const int64_t bytes = ids_offset() + bytes_of<int32_t>(rows);
  memory_ = require_device(bytes, "drawing tokens");
  staged_ = allocate_pinned(bytes);
  copied_ = make_event();
  ring_ = allocate_pinned(bytes_of<uint64_t>(rows * kRing));
  std::memset(ring_.get(), 0, static_cast<size_t>(bytes_of<uint64_t>(rows * kRing)));
}

CudaDrawing::~CudaDrawing() {
  try {
    use_device(device_);
    synchronize(stream_);  // what is queued writes this memory
  } catch (const Failure&) {
  }
}

void CudaDrawing::start(std::span<const krait::Draw> draws, std::span<const int32_t> ids) {
  KRAIT_CHECK(!draws.empty() && std::ssize(draws) <= rows_);
  KRAIT_CHECK(ids.empty() || ids.size() == draws.size());
  use_device(device_);
  if (copies_) cuda::wait(copied_);
  auto* staged = reinterpret_cast<Draw*>(staged_.get());
  for (const krait::Draw& d : draws) {
    KRAIT_CHECK(d.top_k >= 1 && d.top_k <= kMostTopK && (d.top_k == 1 || d.top_k < vocab_));
    *staged++ = {d.seed,  d.sequence, d.position, d.temperature,
                 d.top_p, d.min_p,    d.top_k,    static_cast<uint32_t>(issued_)};
  }
  started_ = static_cast<int32_t>(draws.size());
  first_ = issued_;
  copy_to_device(stream_, staged_.get(), memory_.get(), bytes_of<Draw>(started_));
  if (!ids.empty()) {
    const auto size = static_cast<int64_t>(ids.size_bytes());
    std::memcpy(staged_.get() + ids_offset(), ids.data(), ids.size_bytes());
    copy_to_device(stream_, staged_.get() + ids_offset(), memory_.get() + ids_offset(), size);
  }
  record(stream_, copied_);
  copies_ = true;
}

void CudaDrawing::draw(krait::Rows logits) {
  KRAIT_CHECK(logits.rows == started_ && logits.cols >= vocab_);
  Sample s;
  s.logits = {logits.data, logits.stride};
  s.rows = started_;
  s.vocab = vocab_;
  s.draws = reinterpret_cast<Draw*>(memory_.get());
  s.ids = reinterpret_cast<int32_t*>(memory_.get() + ids_offset());
  s.ring = reinterpret_cast<uint64_t*>(ring_.get());
  s.ring_length = kRing;
  sample(stream_, s);
  ++issued_;
}

// Whether draw n of all has come; `id` is what it gave then.
bool CudaDrawing::has_come(int32_t row, uint64_t n, int32_t& id) const noexcept {
  const auto* ring = reinterpret_cast<const uint64_t*>(ring_.get());
  const uint64_t word = __atomic_load_n(
      ring + uint64_t{kRing} * static_cast<uint64_t>(row) + static_cast<uint32_t>(n) % kRing,
      __ATOMIC_ACQUIRE);
  id = static_cast<int32_t>(static_cast<uint32_t>(word));
  return word >> 32 == static_cast<uint32_t>(n + 1);
}

void CudaDrawing::wait(int64_t n, std::span<int32_t> ids) {
  KRAIT_CHECK(std::ssize(ids) == started_ && n >= 0);
  const uint64_t wanted = first_ + static_cast<uint64_t>(n);
  KRAIT_CHECK(wanted < issued_ && issued_ - wanted <= kRing);
  constexpr int kSpins = 1 << 12;  // some tens of microseconds: then others may want the core
  for (int32_t row = 0; row < started_; ++row) {
    int32_t& id = ids[static_cast<size_t>(row)];
    for (int spins = 0; !has_come(row, wanted, id); ++spins) {
      if (spins < kSpins) continue;
      spins = 0;
      use_device(device_);
      const bool done = is_done(stream_);  // throws for a GPU that has failed
      KRAIT_CHECK(!done || has_come(row, wanted, id));
      std::this_thread::yield();
    }
  }
}

}  // namespace krait::cuda
