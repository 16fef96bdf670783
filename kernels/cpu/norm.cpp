// RMSNorm: out = x * (mean(x^2) + eps)^-1/2 (* weight).
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {

void rms_norm(const float* x, const float* weight, float eps, int64_t cols, float* out) noexcept {
  // Two chains of squares in a fixed pattern: the result depends on nothing but x.
  F even = zero(), odd = zero();
  int64_t i = 0;
  for (; i + 2 * kLanes <= cols; i += 2 * kLanes) {
    const F a = load(x + i), b = load(x + i + kLanes);
    even = fma(a, a, even);
    odd = fma(b, b, odd);
  }
  for (; i < cols; i += kLanes) {
    const F a = load_first(x + i, cols - i < kLanes ? cols - i : kLanes);
    even = fma(a, a, even);
  }
  const float mean = sum(add(even, odd)) / static_cast<float>(cols);
  // NaN where the squares overflow: zeros would look like an output.
  const F scale = set1(1.0f / __builtin_sqrtf(mean + eps) + (mean - mean));
  for (i = 0; i + kLanes <= cols; i += kLanes) {
    const F unit = mul(load(x + i), scale);
    store(out + i, weight ? mul(unit, load(weight + i)) : unit);
  }
  if (i < cols) {
    const int64_t n = cols - i;
    const F unit = mul(load_first(x + i, n), scale);
    store_first(out + i, weight ? mul(unit, load_first(weight + i, n)) : unit, n);
  }
}

}  // namespace krait::cpu::KRAIT_ISA
