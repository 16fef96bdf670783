// The table of this instruction set, and the lane functions it exposes for tests.
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

const Kernels& KRAIT_CONCAT(kernels_, KRAIT_ISA)() noexcept {
  static constexpr Kernels kTable = {
      KRAIT_QUOTE(KRAIT_ISA),    KRAIT_ISA::product,     KRAIT_ISA::quantize_row,
      KRAIT_ISA::rms_norm,       KRAIT_ISA::causal_conv, KRAIT_ISA::selective_scan,
      KRAIT_ISA::ssd_scan,       KRAIT_ISA::gate,        KRAIT_ISA::exp_array,
      KRAIT_ISA::softplus_array, KRAIT_ISA::silu_array,  KRAIT_ISA::peak_float,
      KRAIT_ISA::peak_int8,
  };
  return kTable;
}

}  // namespace krait::cpu
