// S4D scan: a channel per thread, token after token, its states in the plane. The twin of a small
// demonstration model is all that asks for it, so it is plain rather than fast.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"

namespace krait::cuda {
namespace {

constexpr int kS4dThreads = 64;  // and channels of a block

// A block for each segment and kS4dThreads channels.
struct S4dKernel {
  static constexpr int kThreads = kS4dThreads;
  static constexpr int kMinBlocks = 8;
  S4d s4d;
  int32_t channel_blocks;

  KRAIT_DEVICE void operator()() const {
    release_successor();
    wait_for_predecessor();
    const int64_t channel =
        static_cast<int64_t>(block_x() % channel_blocks) * kS4dThreads + thread_index();
    if (channel >= s4d.d_inner) return;
    const Segment segment = s4d.segments.list[block_x() / channel_blocks];
    float* state = s4d.state.data + segment.slot * s4d.state.slot_stride;
    for (int64_t t = segment.begin; t < segment.begin + segment.length; ++t) {
      const float y = step(state, channel, s4d.x.data[t * s4d.x.stride + channel]);
      s4d.out.data[t * s4d.out.stride + channel] = y * silu(s4d.z.data[t * s4d.z.stride + channel]);
    }
  }

  KRAIT_DEVICE float step(float* state, int64_t channel, float x) const {
    const int64_t to_imaginary = static_cast<int64_t>(s4d.pairs) * s4d.d_inner;
    float y = s4d.d[channel] * x;
    for (int32_t p = 0; p < s4d.pairs; ++p) {
      const int64_t re = static_cast<int64_t>(p) * s4d.d_inner + channel, im = re + to_imaginary;
      const float h_re = state[re], h_im = state[im];
      const float next_re = multiply_add(s4d.decay[re], h_re, x - s4d.decay[im] * h_im);
      const float next_im = multiply_add(s4d.decay[re], h_im, s4d.decay[im] * h_re);
      y = multiply_add(s4d.c[re], next_re, y);
      y = multiply_add(s4d.c[im], next_im, y);
      state[re] = next_re;
      state[im] = next_im;
    }
    return y;
  }
};

}  // namespace

void s4d_scan(Stream stream, const S4d& s4d) noexcept {
  const int32_t channel_blocks = ceil_div(s4d.d_inner, kS4dThreads);
  const int64_t blocks = static_cast<int64_t>(s4d.segments.count) * channel_blocks;
  if (blocks == 0) return;
  launch(stream, {blocks, 1, kS4dThreads, 0}, S4dKernel{s4d, channel_blocks});
}

}  // namespace krait::cuda
