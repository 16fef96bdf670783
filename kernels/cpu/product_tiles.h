// The loops around matrix products y = W x over packed panels (layout.h), for one token (decode) to
// many (prefill). Each output is one accumulator that sums in the order of k. The loops only choose
// how many outputs are worked on at once: several panels for one token, several tokens for one
// panel. So the result of a token does not depend on its neighbours.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {

// Sums of kPanels panels for kTokens tokens: [panel][token][half].
template <int kPanels, int kTokens>
struct Sums {
  F v[kPanels][kTokens][2];
};

// out = sum (+ bias), or out += that: 16 rows from `row` on.
KRAIT_INLINE void finish(const Product& a, F sum, int64_t row, int64_t token) {
  if (row >= a.rows) return;
  const int64_t n = a.rows - row < kLanes ? a.rows - row : kLanes;
  float* out = a.out + token * a.out_stride + row;
  if (a.bias) sum = add(sum, load(a.bias + row));
  if (a.accumulate) sum = add(load_first(out, n), sum);
  store_first(out, sum, n);
}

// `Panel::multiply` adds the products of kPanels panels with kTokens tokens from `token` on to
// zeros.
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
  Panel::multiply(a, panels, token, sums);
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
  constexpr int kMost = Panel::kTokensAtOnce;
  int64_t t = a.first_token;
  for (; t + kMost <= a.last_token; t += kMost) tile<Panel, 1, kMost>(a, panel, t);
  for (; t + 4 <= a.last_token && kMost > 4; t += 4) tile<Panel, 1, 4>(a, panel, t);
  for (; t < a.last_token; ++t) tile<Panel, 1, 1>(a, panel, t);
}

template <class Panel>
void multiply_panels(const Product& a) {
  constexpr int kAtOnce = Panel::kPanelsAtOnce;
  int64_t panel = a.first_panel;
  if (a.last_token - a.first_token == 1 && kAtOnce > 1)
    for (; panel + kAtOnce <= a.last_panel; panel += kAtOnce)
      tile<Panel, kAtOnce, 1>(a, panel, a.first_token);
  for (; panel < a.last_panel; ++panel) many_tokens<Panel>(a, panel);
}

}  // namespace krait::cpu::KRAIT_ISA
