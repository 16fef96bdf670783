// Matrix products with float weights, widened as they are read.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/product_tiles.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// `Weights` reads the 32 weights of one k.
template <class Weights>
struct FloatPanel {
  static constexpr int kPanelsAtOnce = 4;  // enough independent sums to hide their latency
  static constexpr int kTokensAtOnce = kTokenBlock;

  template <int kPanels, int kTokens>
  static KRAIT_INLINE void multiply(const Product& a, const uint8_t* panels, int64_t token,
                                    Sums<kPanels, kTokens>& sums) {
    const int64_t stride = a.cols * Weights::kBytesPerK;
    const float* x = a.x + token * a.x_stride;
    for (int64_t k = 0; k < a.cols; ++k) {
      KRAIT_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        F lo, hi;
        Weights::load_k(panels + p * stride + k * Weights::kBytesPerK, lo, hi);
        KRAIT_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const F xk = set1(x[t * a.x_stride + k]);
          sums.v[p][t][0] = fma(lo, xk, sums.v[p][t][0]);
          sums.v[p][t][1] = fma(hi, xk, sums.v[p][t][1]);
        }
      }
    }
  }
};

struct F32 {
  static constexpr int64_t kBytesPerK = kPanelRows * 4;
  static KRAIT_INLINE void load_k(const uint8_t* p, F& lo, F& hi) {
    const float* w = reinterpret_cast<const float*>(p);
    lo = load(w);
    hi = load(w + kLanes);
  }
};
struct F16 {
  static constexpr int64_t kBytesPerK = kPanelRows * 2;
  static KRAIT_INLINE void load_k(const uint8_t* p, F& lo, F& hi) {
    const uint16_t* w = reinterpret_cast<const uint16_t*>(p);
    lo = load_f16(w);
    hi = load_f16(w + kLanes);
  }
};
struct Bf16 {
  static constexpr int64_t kBytesPerK = kPanelRows * 2;
  static KRAIT_INLINE void load_k(const uint8_t* p, F& lo, F& hi) {
    load_bf16_pairs(reinterpret_cast<const uint16_t*>(p), lo, hi);
  }
};

}  // namespace

void product(const Product& a) noexcept {
  switch (a.packing) {
    case Packing::f32: return multiply_panels<FloatPanel<F32>>(a);
    case Packing::f16: return multiply_panels<FloatPanel<F16>>(a);
    case Packing::bf16: return multiply_panels<FloatPanel<Bf16>>(a);
    default: return product_quantised(a);
  }
}

}  // namespace krait::cpu::KRAIT_ISA
