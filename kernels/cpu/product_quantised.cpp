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
    const I nibbles = load_bytes(b.levels + j * 64);
    const I high = load_bytes(b.levels + kPanelRows * kQuantBlock / 2 + j / 2 * 64);
    lo = bits<0>(nibbles, 0x0f) | (j % 2 ? bits<0>(high, 0x30) : bits<-4>(high, 0x30));
    hi = bits<4>(nibbles, 0x0f) | (j % 2 ? bits<2>(high, 0x30) : bits<-2>(high, 0x30));
  }
  static KRAIT_INLINE I dot(I acc, I w, I x) { return dot4_small(acc, w, x); }
};

template <class Type>
struct QuantPanel {
  static constexpr QuantLayout kLayout = quant_layout(Type::kPacking);

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
    F lo[kTokens], hi[kTokens];  // the block's sums without the scale of x
    KRAIT_UNROLL
    for (int part = 0; part < Type::kParts; ++part) add_part(x, b, token, block, part, lo, hi);
    if constexpr (Type::kHasMin) {
      const F min_lo = neg(Type::min(b, 0)), min_hi = neg(Type::min(b, 1));
      KRAIT_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const F sum = set1(static_cast<float>(part_sum(x, (token + t) * x.blocks + block, 0)));
        lo[t] = fma(min_lo, sum, lo[t]);
        hi[t] = fma(min_hi, sum, hi[t]);
      }
    }
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const F scale = set1(x.scale[(token + t) * x.blocks + block]);
      sums[t][0] = fma(lo[t], scale, sums[t][0]);
      sums[t][1] = fma(hi[t], scale, sums[t][1]);
    }
  }

  template <int kTokens>
  static KRAIT_INLINE void add_part(const QuantRows& x, const Block& b, int64_t token,
                                    int64_t block, int part, F (&lo)[kTokens], F (&hi)[kTokens]) {
    constexpr int kSteps = kQuantBlock / 4 / Type::kParts;
    I dot_lo[kTokens], dot_hi[kTokens];
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t)
      dot_lo[t] = dot_hi[t] =
          set1(-Type::kOffset * part_sum(x, (token + t) * x.blocks + block, part));
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
        dot_lo[t] = Type::dot(dot_lo[t], w_lo, x4);
        dot_hi[t] = Type::dot(dot_hi[t], w_hi, x4);
      }
    }
    const F scale_lo = Type::scale(b, part, 0), scale_hi = Type::scale(b, part, 1);
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const F sum_lo = to_float(dot_lo[t]), sum_hi = to_float(dot_hi[t]);
      lo[t] = part == 0 ? mul(sum_lo, scale_lo) : fma(sum_lo, scale_lo, lo[t]);
      hi[t] = part == 0 ? mul(sum_hi, scale_hi) : fma(sum_hi, scale_hi, hi[t]);
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
