// Matrix products of bf16 weights with activations rounded to bf16, two k at a time.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/product_tiles.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

struct RoundedPanel {
  static constexpr int kPanelsAtOnce = 4;  // enough independent sums to hide their latency
  static constexpr int kTokensAtOnce = kTokenBlock;
  static constexpr int64_t kBytesPerPair = kPanelRows * 4;

  template <int kPanels, int kTokens>
  static KRAIT_INLINE void multiply(const Product& a, const uint8_t* panels, int64_t token,
                                    Sums<kPanels, kTokens>& sums) {
    const int64_t stride = panel_bytes(Packing::bf16, a.cols);
    const uint16_t* x = a.rounded.x + token * a.rounded.stride;
    const int64_t pairs = ceil_div(a.cols, 2);
    for (int64_t j = 0; j < pairs; ++j) {
      KRAIT_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        const uint8_t* w = panels + p * stride + j * kBytesPerPair;
        const I lo = load_bytes(w), hi = load_bytes(w + kLanes * 4);
        KRAIT_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          int32_t two;
          std::memcpy(&two, x + t * a.rounded.stride + 2 * j, sizeof two);
          const I x2 = set1(two);
          sums.v[p][t][0] = dot2_bf16(sums.v[p][t][0], lo, x2);
          sums.v[p][t][1] = dot2_bf16(sums.v[p][t][1], hi, x2);
        }
      }
    }
  }
};

}  // namespace

void product_rounded(const Product& a) noexcept { multiply_panels<RoundedPanel>(a); }

}  // namespace krait::cpu::KRAIT_ISA
