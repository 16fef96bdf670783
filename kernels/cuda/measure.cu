#include "kernels/cuda/launch.h"
#include "kernels/cuda/measure.h"

namespace krait::cuda {
namespace {

constexpr int kLoads = 8;  // of a thread at a time

struct ReadAll {
  static constexpr int kThreads = 512;
  static constexpr int kMinBlocks = 2;
  const std::byte* data;
  int64_t words;  // of 16 bytes
  uint32_t* sink;

  KRAIT_DEVICE void operator()() const {
    wait_for_predecessor();
    const int64_t threads = int64_t{blocks_x()} * thread_count();
    uint32_t sum = 0;
    for (int64_t at = int64_t{block_x()} * thread_count() + thread_index(); at < words;
         at += kLoads * threads) {
      Word4 v[kLoads];
      KRAIT_UNROLL
      for (int i = 0; i < kLoads; ++i)
        v[i] = at + i * threads < words ? load_stream(data + (at + i * threads) * 16)
                                        : Word4{0, 0, 0, 0};
      KRAIT_UNROLL
      for (int i = 0; i < kLoads; ++i) sum |= v[i].x | v[i].y | v[i].z | v[i].w;
    }
    if (sum != 0) *sink = sum;  // never, but it keeps the loads
    release_successor();
  }
};

constexpr int kChains = 8;  // products of a warp that do not wait for each other
constexpr int64_t kTileMultiplyAdds = 16 * 8 * 16;

struct MultiplyAdd {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 2;
  int32_t rounds;
  float* sink;

  KRAIT_DEVICE void operator()() const {
    wait_for_predecessor();
    // Small numbers of both signs: zeros would take less power, and so run at a higher clock.
    const auto lane = static_cast<float>(lane_index() - 15);
    const uint32_t pair = pack_bf16(lane * 0.01f, lane * -0.013f);
    const uint32_t a[4] = {pair, pair ^ 0x80008000u, pair, pair}, b[2] = {pair, pair};
    float d[kChains][4] = {};
    for (int round = 0; round < rounds; ++round) {
      KRAIT_UNROLL
      for (int i = 0; i < kChains; ++i) mma_bf16(d[i], a, b);
    }
    float sum = 0;
    KRAIT_UNROLL
    for (int i = 0; i < kChains; ++i) sum += d[i][0] + d[i][1] + d[i][2] + d[i][3];
    if (sum == 1e30f) *sink = sum;  // never
    release_successor();
  }
};

}  // namespace

void read_all(Stream stream, const std::byte* data, int64_t bytes, int32_t multiprocessors,
              uint32_t* sink) noexcept {
  launch(stream,
         {.blocks_x = int64_t{multiprocessors} * ReadAll::kMinBlocks, .threads = ReadAll::kThreads},
         ReadAll{data, bytes / 16, sink});
}

void multiply_add_rounds(Stream stream, int32_t multiprocessors, int32_t rounds,
                         float* sink) noexcept {
  launch(stream,
         {.blocks_x = int64_t{multiprocessors} * MultiplyAdd::kMinBlocks,
          .threads = MultiplyAdd::kThreads},
         MultiplyAdd{rounds, sink});
}

int64_t multiply_adds(int32_t multiprocessors, int32_t rounds) noexcept {
  return int64_t{multiprocessors} * MultiplyAdd::kMinBlocks * (MultiplyAdd::kThreads / kWarp) *
         rounds * kChains * kTileMultiplyAdds;
}

}  // namespace krait::cuda
