// Matrix products with float weights and activations; the weights are widened as they are read.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/product_tiles.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// `Weights` reads the 32 weights of kStep consecutive k at once: [k][half].
template <class Weights>
struct FloatPanel {
  static constexpr int kPanelsAtOnce = 4;  // enough independent sums to hide their latency
  static constexpr int kTokensAtOnce = kTokenBlock;
  static constexpr int kStep = Weights::kStep;

  template <int kPanels, int kTokens>
  static KRAIT_INLINE void multiply(const Product& a, const uint8_t* panels, int64_t token,
                                    Sums<kPanels, kTokens>& sums) {
    const float* x = a.x + token * a.x_stride;
    int64_t k = 0;
    for (; k + kStep <= a.cols; k += kStep) add_step<kStep>(a, panels, x, k, sums);
    if constexpr (kStep > 1)
      if (k < a.cols) add_step<1>(a, panels, x, k, sums);  // nothing of x lies behind
  }

  // The first kCount k of a step.
  template <int kCount, int kPanels, int kTokens>
  static KRAIT_INLINE void add_step(const Product& a, const uint8_t* panels, const float* x,
                                    int64_t k, Sums<kPanels, kTokens>& sums) {
    const int64_t stride = panel_bytes(Weights::kPacking, a.cols);
    KRAIT_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      F w[kStep][2];
      Weights::load_step(panels + p * stride + k * Weights::kBytesPerK, w);
      KRAIT_UNROLL
      for (int i = 0; i < kCount; ++i) {
        KRAIT_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const F xk = set1(x[t * a.x_stride + k + i]);
          sums.v[p][t][0] = fma(w[i][0], xk, sums.v[p][t][0]);
          sums.v[p][t][1] = fma(w[i][1], xk, sums.v[p][t][1]);
        }
      }
    }
  }
};

struct F32 {
  static constexpr Packing kPacking = Packing::f32;
  static constexpr int kStep = 1;
  static constexpr int64_t kBytesPerK = kPanelRows * 4;
  static KRAIT_INLINE void load_step(const uint8_t* p, F (&w)[1][2]) {
    const float* from = reinterpret_cast<const float*>(p);
    w[0][0] = load(from);
    w[0][1] = load(from + kLanes);
  }
};
struct F16 {
  static constexpr Packing kPacking = Packing::f16;
  static constexpr int kStep = 1;
  static constexpr int64_t kBytesPerK = kPanelRows * 2;
  static KRAIT_INLINE void load_step(const uint8_t* p, F (&w)[1][2]) {
    const uint16_t* from = reinterpret_cast<const uint16_t*>(p);
    w[0][0] = load_f16(from);
    w[0][1] = load_f16(from + kLanes);
  }
};
struct Bf16 {
  static constexpr Packing kPacking = Packing::bf16;
  static constexpr int kStep = 2;
  static constexpr int64_t kBytesPerK = kPanelRows * 2;
  static KRAIT_INLINE void load_step(const uint8_t* p, F (&w)[2][2]) {
    KRAIT_UNROLL
    for (int half = 0; half < 2; ++half) {
      const I pairs = load_bytes(p + half * kLanes * 4);
      w[0][half] = first_bf16(pairs);
      w[1][half] = second_bf16(pairs);
    }
  }
};

}  // namespace

void product_float(const Product& a) noexcept {
  switch (a.packing) {
    case Packing::f32: return multiply_panels<FloatPanel<F32>>(a);
    case Packing::f16: return multiply_panels<FloatPanel<F16>>(a);
    case Packing::bf16: return multiply_panels<FloatPanel<Bf16>>(a);
    default: return;
  }
}

}  // namespace krait::cpu::KRAIT_ISA
