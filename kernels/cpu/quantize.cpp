// Activations to int8, in blocks of 32 along k: scale = max |x| / 127.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {

void quantize_row(const float* x, int64_t cols, int64_t token, const QuantRows& out) noexcept {
  int8_t* q = out.q + token * out.blocks * kQuantBlock;
  for (int64_t block = 0; block < out.blocks; ++block) {
    const int64_t k = block * kQuantBlock;
    const int64_t left = cols - k;
    const F lo = load_first(x + k, left < kLanes ? left : kLanes);
    const F hi = left > kLanes
                     ? load_first(x + k + kLanes, left < 2 * kLanes ? left - kLanes : kLanes)
                     : zero();
    const float largest = max_lane(max(abs(lo), abs(hi)));
    // A block of zeros, or one so small that its inverse overflows, becomes zero.
    const float inverse = largest > 1e-36f ? 127.0f / largest : 0.0f;
    store_int8(q + k, mul(lo, set1(inverse)));
    store_int8(q + k + kLanes, mul(hi, set1(inverse)));
    int32_t* sums = out.sums + 2 * (token * out.blocks + block);
    sums[0] = sums[1] = 0;
    for (int64_t i = 0; i < kQuantBlock; ++i) sums[i / kLanes] += q[k + i];
    // 0 for finite x; NaN where a value was NaN or infinite, so that it shows in the result.
    const float poison = sum(add(sub(lo, lo), sub(hi, hi)));
    out.scale[token * out.blocks + block] = (inverse > 0.0f ? largest / 127.0f : 0.0f) + poison;
  }
}

}  // namespace krait::cpu::KRAIT_ISA
