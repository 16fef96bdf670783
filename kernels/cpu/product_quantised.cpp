// Matrix products with block-quantised weights and int8 activations. Within a block of 32 k the
// sums are exact integers, so any instruction set gets the same ones; blocks are added in float32
// in the order of k.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/product_tiles.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

// One block of one panel: `header` of its super-block, `scales` of the block, `levels` behind them.
struct Block {
  const uint8_t* header;
  const uint8_t* scales;
  const uint8_t* levels;
};

KRAIT_INLINE F half_scales(const uint8_t* scales, int half) {
  return load_f16(reinterpret_cast<const uint16_t*>(scales) + half * kLanes);
}

// A weight type: blocks of kParts parts with a scale each; a weight is scale * (level - kOffset),
// or with kHasMin scale * level - min. `load4` reads the levels of k = 4 j .. 4 j + 3 for the rows
// 0 to 15 and 16 to 31.
struct Q8 {
  static constexpr Packing kPacking = Packing::q8_0;
  static constexpr int kParts = 1, kOffset = 128;
  static constexpr bool kHasMin = false;
  static KRAIT_INLINE F scale(const Block& b, int, int half) { return half_scales(b.scales, half); }
  static KRAIT_INLINE void load4(const Block& b, int j, I& lo, I& hi) {
    lo = load_bytes(b.levels + j * 128);
    hi = load_bytes(b.levels + j * 128 + 64);
  }
  static KRAIT_INLINE I dot(I acc, I w, I x) { return dot4(acc, w, x); }
};

struct Q4 {
  static constexpr Packing kPacking = Packing::q4_0;
  static constexpr int kParts = 1, kOffset = 8;
  static constexpr bool kHasMin = false;
  static KRAIT_INLINE F scale(const Block& b, int, int half) { return half_scales(b.scales, half); }
  static KRAIT_INLINE void load4(const Block& b, int j, I& lo, I& hi) {
    const I nibbles = load_bytes(b.levels + j * 64);
    lo = bits<0>(nibbles, 0x0f);
    hi = bits<4>(nibbles, 0x0f);
  }
  static KRAIT_INLINE I dot(I acc, I w, I x) { return dot4_small(acc, w, x); }
};

struct Q4K : Q4 {
  static constexpr Packing kPacking = Packing::q4_k;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true;
  static KRAIT_INLINE F scale(const Block& b, int, int half) {
    return mul(half_scales(b.header, half), load_u8(b.scales + half * kLanes));
  }
  static KRAIT_INLINE F min(const Block& b, int half) {
    return mul(half_scales(b.header + kPanelRows * 2, half),
               load_u8(b.scales + kPanelRows + half * kLanes));
  }
};

struct Q6K {
  static constexpr Packing kPacking = Packing::q6_k;
  static constexpr int kParts = 2, kOffset = 32;
  static constexpr bool kHasMin = false;
  static KRAIT_INLINE F scale(const Block& b, int part, int half) {
    return mul(half_scales(b.header, half), load_i8(b.scales + part * kPanelRows + half * kLanes));
  }
  static KRAIT_INLINE void load4(const Block& b, int j, I& lo, I& hi) {
    const uint8_t* pair = b.levels + j / 2 * 192;
    const I high = load_bytes(pair), nibbles = load_bytes(pair + 64 + j % 2 * 64);
    lo = bits<0>(nibbles, 0x0f) | (j % 2 ? bits<0>(high, 0x30) : bits<-4>(high, 0x30));
    hi = bits<4>(nibbles, 0x0f) | (j % 2 ? bits<2>(high, 0x30) : bits<-2>(high, 0x30));
  }
  static KRAIT_INLINE I dot(I acc, I w, I x) { return dot4_small(acc, w, x); }
};

template <class Type>
struct QuantPanel {
  static constexpr QuantLayout kLayout = quant_layout(Type::kPacking);
  // Measured: one stream of memory is read fastest, but two where a block is little work.
  static constexpr int kPanelsAtOnce = Type::kPacking == Packing::q8_0 ? 2 : 1;
  // A token needs integer and float sums: what the registers hold without spilling.
  static constexpr int kTokensAtOnce = (kTokenBlock + 1) / 2;

  template <int kPanels, int kTokens>
  static KRAIT_INLINE void multiply(const Product& a, const uint8_t* panels, int64_t token,
                                    Sums<kPanels, kTokens>& sums) {
    const int64_t stride = panel_bytes(Type::kPacking, a.cols);
    for (int64_t block = 0; block < a.quant.blocks; ++block) {
      KRAIT_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        const uint8_t* panel = panels + p * stride;
        const uint8_t* start = panel + block_offset(kLayout, block);
        const Block b{panel + header_offset(kLayout, block), start, start + kScaleBytes};
        add_block(a.quant, b, token, block, sums.v[p]);
      }
    }
  }

  template <int kTokens>
  static KRAIT_INLINE void add_block(const QuantRows& x, const Block& b, int64_t token,
                                     int64_t block, F (&sums)[kTokens][2]) {
    F first_lo[kTokens], first_hi[kTokens];  // of the first of two parts
    KRAIT_UNROLL
    for (int part = 0; part < Type::kParts; ++part) {
      I lo[kTokens], hi[kTokens];
      dot_part(x, b, token, block, part, lo, hi);
      const F scale_lo = Type::scale(b, part, 0), scale_hi = Type::scale(b, part, 1);
      KRAIT_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const F dot_lo = to_float(lo[t]), dot_hi = to_float(hi[t]);
        if (part + 1 < Type::kParts) {
          first_lo[t] = mul(dot_lo, scale_lo);
          first_hi[t] = mul(dot_hi, scale_hi);
          continue;
        }
        const int64_t at = (token + t) * x.blocks + block;
        F sum_lo, sum_hi;  // without the scale of x
        if constexpr (Type::kParts == 2) {
          sum_lo = fma(dot_lo, scale_lo, first_lo[t]);
          sum_hi = fma(dot_hi, scale_hi, first_hi[t]);
        } else if constexpr (Type::kHasMin) {
          const F x_sum = set1(static_cast<float>(part_sum(x, at, 0)));
          sum_lo = fma(neg(Type::min(b, 0)), x_sum, mul(dot_lo, scale_lo));
          sum_hi = fma(neg(Type::min(b, 1)), x_sum, mul(dot_hi, scale_hi));
        } else {
          sum_lo = mul(dot_lo, scale_lo);
          sum_hi = mul(dot_hi, scale_hi);
        }
        const F scale = set1(x.scale[at]);
        sums[t][0] = fma(sum_lo, scale, sums[t][0]);
        sums[t][1] = fma(sum_hi, scale, sums[t][1]);
      }
    }
  }

  // The exact integer sums of a part.
  template <int kTokens>
  static KRAIT_INLINE void dot_part(const QuantRows& x, const Block& b, int64_t token,
                                    int64_t block, int part, I (&lo)[kTokens], I (&hi)[kTokens]) {
    constexpr int kSteps = kQuantBlock / 4 / Type::kParts;
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t)
      lo[t] = hi[t] = set1(-Type::kOffset * part_sum(x, (token + t) * x.blocks + block, part));
    KRAIT_UNROLL
    for (int j = part * kSteps; j < (part + 1) * kSteps; ++j) {
      I w_lo, w_hi;
      Type::load4(b, j, w_lo, w_hi);
      KRAIT_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        int32_t four;
        std::memcpy(&four, x.q + ((token + t) * x.blocks + block) * kQuantBlock + 4 * j,
                    sizeof four);
        const I x4 = set1(four);
        lo[t] = Type::dot(lo[t], w_lo, x4);
        hi[t] = Type::dot(hi[t], w_hi, x4);
      }
    }
  }

  // The sum of x over a part of a block.
  static KRAIT_INLINE int32_t part_sum(const QuantRows& x, int64_t block, int part) {
    return Type::kParts == 2 ? x.sums[2 * block + part] : x.sums[2 * block] + x.sums[2 * block + 1];
  }
};

}  // namespace

void product_quantised(const Product& a) noexcept {
  switch (a.packing) {
    case Packing::q8_0: return multiply_panels<QuantPanel<Q8>>(a);
    case Packing::q4_0: return multiply_panels<QuantPanel<Q4>>(a);
    case Packing::q4_k: return multiply_panels<QuantPanel<Q4K>>(a);
    case Packing::q6_k: return multiply_panels<QuantPanel<Q6K>>(a);
    default: return;
  }
}

}  // namespace krait::cpu::KRAIT_ISA
