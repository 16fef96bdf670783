// The arithmetic that products are made of, on registers only: what it reaches is the roof of every
// product of this instruction set.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// Independent chains that hide the latency of a multiply-add and fit the registers; each takes
// kPeakSteps / kChains steps an iteration.
#if defined(KRAIT_ISA_avx512)
constexpr int kChains = 12;
#elif defined(KRAIT_ISA_avx2)
constexpr int kChains = 6;
#else
constexpr int kChains = 2;
#endif
static_assert(kPeakSteps % kChains == 0);

// The compiler may assume nothing of the value afterwards, so that nothing made from it is computed
// once for all iterations.
#if defined(KRAIT_ISA_avx512)
KRAIT_INLINE void forget(I& a) { asm volatile("" : "+v"(a.v)); }
#elif defined(KRAIT_ISA_avx2)
KRAIT_INLINE void forget(I& a) { asm volatile("" : "+x"(a.lo), "+x"(a.hi)); }
#else
KRAIT_INLINE void forget(I& a) { asm volatile("" : "+m"(a)); }
#endif

}  // namespace

void peak_float(int64_t iterations, float* sink) noexcept {
  // Every chain tends to 1, so that no value becomes infinite or subnormal, which would be slower.
  const F x = set1(0.5f + sink[0] * 0.0f), y = set1(0.5f);
  F sums[kChains];
  for (F& sum : sums) sum = load(sink);
  for (int64_t i = 0; i < iterations; ++i)
    KRAIT_UNROLL for (int step = 0; step < kPeakSteps; ++step) {
      F& sum = sums[step % kChains];
      sum = fma(sum, x, y);
    }
  for (const F& sum : sums) store(sink, add(load(sink), sum));
}

#if defined(KRAIT_ISA_avx512bf16)
void peak_bf16(int64_t iterations, float* sink) noexcept {
  I weights = set1(0x3f80'4000);                        // 1 and 2
  const I x = set1(static_cast<int32_t>(0xbf80'3f80));  // -1 and 1
  F sums[kChains];
  for (F& sum : sums) sum = zero();
  for (int64_t i = 0; i < iterations; ++i)
    KRAIT_UNROLL for (int step = 0; step < kPeakSteps; ++step) {
      F& sum = sums[step % kChains];
      forget(weights);
      sum = dot2_bf16(sum, weights, x);
    }
  for (const F& sum : sums) store(sink, add(load(sink), sum));
}
#endif

void peak_int8(int64_t iterations, float* sink) noexcept {
  I weights = set1(0x01020304);
  const I x = set1(0x01ff01ff);
  I sums[kChains];
  for (I& sum : sums) sum = set1(0);
  for (int64_t i = 0; i < iterations; ++i)
    KRAIT_UNROLL for (int step = 0; step < kPeakSteps; ++step) {
      I& sum = sums[step % kChains];
      forget(weights);
      sum = dot4_small(sum, weights, x);
    }
  for (const I& sum : sums) store(sink, add(load(sink), to_float(sum)));
}

}  // namespace krait::cpu::KRAIT_ISA
