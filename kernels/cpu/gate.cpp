// The gate of a mixer: out = x * silu(z).
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/math.h"

namespace krait::cpu::KRAIT_ISA {

void gate(const float* x, const float* z, int64_t n, float* out) noexcept {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, mul(load(x + i), silu(load(z + i))));
  if (i < n)
    store_first(out + i, mul(load_first(x + i, n - i), silu(load_first(z + i, n - i))), n - i);
}

}  // namespace krait::cpu::KRAIT_ISA
