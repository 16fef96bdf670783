// The table of this instruction set, and the lane functions it exposes for tests. An extension
// takes the table of the set it extends and replaces what its instructions make faster.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu {
namespace KRAIT_ISA {

template <class Function>
KRAIT_INLINE void each_lane(const float* x, int64_t n, float* out, Function function) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t lanes = n - i < kLanes ? n - i : kLanes;
    store_first(out + i, function(load_first(x + i, lanes)), lanes);
  }
}

void exp_array(const float* x, int64_t n, float* out) noexcept {
  each_lane(
      x, n, out, [](F v) __attribute__((always_inline)) { return exp(v); });
}
void softplus_array(const float* x, int64_t n, float* out) noexcept {
  each_lane(
      x, n, out, [](F v) __attribute__((always_inline)) { return softplus(v); });
}
void silu_array(const float* x, int64_t n, float* out) noexcept {
  each_lane(
      x, n, out, [](F v) __attribute__((always_inline)) { return silu(v); });
}

}  // namespace KRAIT_ISA

#define KRAIT_CONCAT_(a, b) a##b
#define KRAIT_CONCAT(a, b) KRAIT_CONCAT_(a, b)
#define KRAIT_QUOTE_(a) #a
#define KRAIT_QUOTE(a) KRAIT_QUOTE_(a)

namespace {

Kernels table() noexcept {
#if defined(KRAIT_ISA_avx512bf16)
  Kernels t = kernels_avx512vnni();
  t.product_rounded = KRAIT_ISA::product_rounded;
  t.peak_bf16 = KRAIT_ISA::peak_bf16;
#elif defined(KRAIT_ISA_avx512vnni)
  Kernels t = kernels_avx512();
  t.product_quantised = KRAIT_ISA::product_quantised;
  t.peak_int8 = KRAIT_ISA::peak_int8;
#else
  Kernels t = {};
  t.product_float = KRAIT_ISA::product_float;
  t.product_rounded = KRAIT_ISA::product_rounded;
  t.product_quantised = KRAIT_ISA::product_quantised;
  t.quantize_row = KRAIT_ISA::quantize_row;
  t.round_row = KRAIT_ISA::round_row;
  t.rms_norm = KRAIT_ISA::rms_norm;
  t.causal_conv = KRAIT_ISA::causal_conv;
  t.selective_scan = KRAIT_ISA::selective_scan;
  t.ssd_scan = KRAIT_ISA::ssd_scan;
  t.s4d_scan = KRAIT_ISA::s4d_scan;
  t.gate = KRAIT_ISA::gate;
  t.exp = KRAIT_ISA::exp_array;
  t.softplus = KRAIT_ISA::softplus_array;
  t.silu = KRAIT_ISA::silu_array;
  t.peak_float = KRAIT_ISA::peak_float;
  t.peak_int8 = KRAIT_ISA::peak_int8;
#endif
  t.isa = KRAIT_QUOTE(KRAIT_ISA);
  return t;
}

}  // namespace

const Kernels& KRAIT_CONCAT(kernels_, KRAIT_ISA)() noexcept {
  static const Kernels kTable = table();
  return kTable;
}

}  // namespace krait::cpu
