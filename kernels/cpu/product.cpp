// Matrix products y = W x over packed panels (layout.h), for one token (decode) to many (prefill).
// Each output is one accumulator that sums in the order of k. The loops below only choose how many
// outputs are worked on at once: several panels for one token, several tokens for one panel. So the
// result of a token does not depend on its neighbours.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

struct F32Panel {
  static constexpr int64_t kBytesPerK = kPanelRows * 4;
  static KRAIT_INLINE void load_k(const uint8_t* p, F& lo, F& hi) {
    const float* w = reinterpret_cast<const float*>(p);
    lo = load(w);
    hi = load(w + kLanes);
  }
};
struct F16Panel {
  static constexpr int64_t kBytesPerK = kPanelRows * 2;
  static KRAIT_INLINE void load_k(const uint8_t* p, F& lo, F& hi) {
    const uint16_t* w = reinterpret_cast<const uint16_t*>(p);
    lo = load_f16(w);
    hi = load_f16(w + kLanes);
  }
};
struct Bf16Panel {
  static constexpr int64_t kBytesPerK = kPanelRows * 2;
  static KRAIT_INLINE void load_k(const uint8_t* p, F& lo, F& hi) {
    load_bf16_pairs(reinterpret_cast<const uint16_t*>(p), lo, hi);
  }
};

// Sums of kPanels panels for kTokens tokens: [panel][token][half].
template <int kPanels, int kTokens>
struct Sums {
  F v[kPanels][kTokens][2];
};

template <class Panel, int kPanels, int kTokens>
KRAIT_INLINE void multiply(const Product& a, const uint8_t* panels, int64_t token,
                           Sums<kPanels, kTokens>& sums) {
  const int64_t stride = a.cols * Panel::kBytesPerK;
  const float* x = a.x + token * a.x_stride;
  for (int64_t k = 0; k < a.cols; ++k) {
    KRAIT_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      F lo, hi;
      Panel::load_k(panels + p * stride + k * Panel::kBytesPerK, lo, hi);
      KRAIT_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const F xk = set1(x[t * a.x_stride + k]);
        sums.v[p][t][0] = fma(lo, xk, sums.v[p][t][0]);
        sums.v[p][t][1] = fma(hi, xk, sums.v[p][t][1]);
      }
    }
  }
}

struct Q8Panel {};

template <class Panel, int kPanels, int kTokens>
requires(sizeof(Panel) == sizeof(Q8Panel) && __is_same(Panel, Q8Panel)) KRAIT_INLINE
    void multiply(const Product& a, const uint8_t* panels, int64_t token,
                  Sums<kPanels, kTokens>& sums) {
  const int64_t blocks = a.quant.blocks;
  const int8_t* q = a.quant.q + token * blocks * kQuantBlock;
  const float* scales = a.quant.scale + token * blocks;
  const int32_t* sums128 = a.quant.sum128 + token * blocks;
  for (int64_t block = 0; block < blocks; ++block) {
    KRAIT_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      const uint8_t* w = panels + (p * blocks + block) * kQuantPanelBytes;
      const F scale_lo = load_f16(reinterpret_cast<const uint16_t*>(w));
      const F scale_hi = load_f16(reinterpret_cast<const uint16_t*>(w) + kLanes);
      w += kPanelRows * 2;
      I lo[kTokens], hi[kTokens];
      KRAIT_UNROLL
      for (int t = 0; t < kTokens; ++t) lo[t] = hi[t] = set1(-sums128[t * blocks + block]);
      KRAIT_UNROLL
      for (int j = 0; j < kQuantBlock / 4; ++j) {
        const uint8_t* wj = w + j * kPanelRows * 4;
        KRAIT_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          int32_t four;
          std::memcpy(&four, q + (t * blocks + block) * kQuantBlock + 4 * j, sizeof four);
          const I x = set1(four);
          lo[t] = dot4(lo[t], wj, x);
          hi[t] = dot4(hi[t], wj + 64, x);
        }
      }
      KRAIT_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const F scale = set1(scales[t * blocks + block]);
        sums.v[p][t][0] = fma(to_float(lo[t]), mul(scale_lo, scale), sums.v[p][t][0]);
        sums.v[p][t][1] = fma(to_float(hi[t]), mul(scale_hi, scale), sums.v[p][t][1]);
      }
    }
  }
}

// out = sum (+ bias), or out += that: 16 rows from `row` on.
KRAIT_INLINE void finish(const Product& a, F sum, int64_t row, int64_t token) {
  if (row >= a.rows) return;
  const int64_t n = a.rows - row < kLanes ? a.rows - row : kLanes;
  float* out = a.out + token * a.out_stride + row;
  if (a.bias) sum = add(sum, load(a.bias + row));
  if (a.accumulate) sum = add(load_first(out, n), sum);
  store_first(out, sum, n);
}

template <class Panel, int kPanels, int kTokens>
void tile(const Product& a, int64_t panel, int64_t token) {
  Sums<kPanels, kTokens> sums;
  KRAIT_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t) sums.v[p][t][0] = sums.v[p][t][1] = zero();
  }
  const uint8_t* panels =
      static_cast<const uint8_t*>(a.panels) + panel * panel_bytes(a.packing, a.cols);
  multiply<Panel, kPanels, kTokens>(a, panels, token, sums);
  KRAIT_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      finish(a, sums.v[p][t][0], (panel + p) * kPanelRows, token + t);
      finish(a, sums.v[p][t][1], (panel + p) * kPanelRows + kLanes, token + t);
    }
  }
}

// All tokens over one panel (which stays in the second-level cache).
template <class Panel>
void many_tokens(const Product& a, int64_t panel) {
  int64_t t = 0;
  for (; t + kTokenBlock <= a.tokens; t += kTokenBlock) tile<Panel, 1, kTokenBlock>(a, panel, t);
  for (; t + 4 <= a.tokens && kTokenBlock > 4; t += 4) tile<Panel, 1, 4>(a, panel, t);
  for (; t < a.tokens; ++t) tile<Panel, 1, 1>(a, panel, t);
}

template <class Panel>
void run(const Product& a) {
  int64_t panel = a.first_panel;
  if (a.tokens == 1)  // several panels at once: enough independent sums to hide the latency
    for (; panel + 4 <= a.last_panel; panel += 4) tile<Panel, 4, 1>(a, panel, 0);
  for (; panel < a.last_panel; ++panel) many_tokens<Panel>(a, panel);
}

}  // namespace

void product(const Product& a) noexcept {
  switch (a.packing) {
    case Packing::f32: return run<F32Panel>(a);
    case Packing::f16: return run<F16Panel>(a);
    case Packing::bf16: return run<Bf16Panel>(a);
    case Packing::q8_0: return run<Q8Panel>(a);
  }
}

}  // namespace krait::cpu::KRAIT_ISA
