// exp, softplus and SiLU on 16 lanes. Error bounds are asserted by tests/kernels/math_test.cpp.
#pragma once

#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {

// 2^r for r in [0, 1]: minimax polynomial, relative error below 3e-9 before rounding.
KRAIT_INLINE F exp2_fraction(F r) {
  F p = set1(0x1.c54178p-13f);
  p = fma(p, r, set1(0x1.46d64cp-10f));
  p = fma(p, r, set1(0x1.3d0b8ep-7f));
  p = fma(p, r, set1(0x1.c68912p-5f));
  p = fma(p, r, set1(0x1.ebfd56p-3f));
  p = fma(p, r, set1(0x1.62e42cp-1f));
  return fma(p, r, set1(1.0f));
}

// 2^t for t up to 0; 0 below -150. NaN stays (max gives the second operand).
KRAIT_INLINE F exp2_decay(F t) {
  t = max(set1(-151.0f), t);
  const F n = floor(t);  // AVX-512's reduce would round the fraction down: other bits than AVX2's
  return scale_by_power(exp2_fraction(sub(t, n)), n);
}

// e^x, at most 2 units in the last place off; 0 below -104, infinity above 88.73.
KRAIT_INLINE F exp(F x) {
  x = min(set1(90.0f), max(set1(-105.0f), x));
  const F log2e = set1(0x1.715476p+0f);
  const F n = floor(mul(x, log2e));
  // x - n ln 2 in two steps; the high part has 15 bits, so that its product is exact.
  const F high = fma(n, set1(-0x1.62e4p-1f), x);
  const F r = mul(fma(n, set1(-0x1.7f7d1cp-20f), high), log2e);
  return scale_by_power(exp2_fraction(r), n);
}

// log(1 + e) for e in [0, 1]. Above 1/2 the argument is halved around 1: 1 + e = 2 (1 + f).
KRAIT_INLINE F log1p_unit(F e) {
  const F half = set1(0.5f), ln2 = set1(0x1.62e430p-1f);
  const F f = select_greater(e, half, mul(half, sub(e, set1(1.0f))), e);
  const F base = select_greater(e, half, ln2, zero());
  const F s = div(f, add(set1(2.0f), f));  // log(1 + f) = 2 atanh(s)
  const F s2 = mul(s, s);
  F p = set1(2.0f / 11);
  p = fma(p, s2, set1(2.0f / 9));
  p = fma(p, s2, set1(2.0f / 7));
  p = fma(p, s2, set1(2.0f / 5));
  p = fma(p, s2, set1(2.0f / 3));
  const F log1pf = fma(mul(s, s2), p, add(s, s));
  return add(base, log1pf);
}

// log(1 + e^v), and v itself above 20, as in PyTorch.
KRAIT_INLINE F softplus(F v) {
  const F soft = add(max(v, zero()), log1p_unit(exp(neg(abs(v)))));
  return select_greater(v, set1(20.0f), v, soft);
}

// v * sigmoid(v)
KRAIT_INLINE F silu(F v) { return div(v, add(set1(1.0f), exp(neg(v)))); }

}  // namespace krait::cpu::KRAIT_ISA
