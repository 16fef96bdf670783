// From the bytes of a weight tile (layout.h) to operands of mma_bf16, exactly: a weight becomes one
// or more bf16 values whose sum it is, or an integer that fits into one and a scale.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/layout.h"

namespace krait::cuda {

// What a lane loads of a tile: 16 bytes, 32 for f32.
template <Format F>
struct RawTile {
  static constexpr int kLoads = loads_per_tile(F);
  Word4 words[kLoads];

  // `tile` in global memory.
  KRAIT_DEVICE void load_global(const std::byte* tile, int lane) {
    KRAIT_UNROLL
    for (int i = 0; i < kLoads; ++i) words[i] = load_stream(tile + i * kTileBytes + lane * 16);
  }
  // `tile` in shared memory.
  KRAIT_DEVICE void load_shared(const std::byte* tile, int lane) {
    KRAIT_UNROLL
    for (int i = 0; i < kLoads; ++i)
      words[i] = *reinterpret_cast<const Word4*>(tile + i * kTileBytes + lane * 16);
  }
  // What is computed from the words is computed from here on.
  KRAIT_DEVICE void settle() {
#if defined(__CUDACC__)
    KRAIT_UNROLL
    for (Word4& four : words)
      asm volatile("" : "+r"(four.x), "+r"(four.y), "+r"(four.z), "+r"(four.w));
#endif
  }
  KRAIT_DEVICE uint32_t word(int i) const {
    const Word4& four = words[i / 4];
    switch (i % 4) {
      case 0: return four.x;
      case 1: return four.y;
      case 2: return four.z;
      default: return four.w;
    }
  }
};

// bf16 values that a weight is the sum of.
constexpr int weight_parts(Format f) { return f == Format::f32 ? 3 : f == Format::f16 ? 2 : 1; }
constexpr int steps_per_tile(Format f) { return tile_cols(f) / kStep; }
// Steps under one scale; 0: there are no scales.
constexpr int steps_per_scale(Format f) {
  return f == Format::q6_k ? 1 : tile_cols(f) > kStep ? 2 : 0;
}

// The next bf16 part of two floats, which is taken from them.
KRAIT_DEVICE uint32_t take_part(Float2& v) {
  const uint32_t part = pack_bf16(v.x, v.y);
  v.x -= low_bf16(part);
  v.y -= high_bf16(part);
  return part;
}

// The weights of step `step` of a tile, as `a` of mma_bf16, part by part.
template <Format F>
KRAIT_DEVICE void weights_of_step(const RawTile<F>& raw, int step,
                                  uint32_t (&a)[weight_parts(F)][4]) {
  if constexpr (F == Format::bf16) {
    KRAIT_UNROLL
    for (int i = 0; i < 4; ++i) a[0][i] = raw.word(i);
  } else if constexpr (F == Format::f16) {
    KRAIT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint32_t pair = raw.word(i);
      Float2 v{f32_of_f16(static_cast<uint16_t>(pair & 0xffffu)),
               f32_of_f16(static_cast<uint16_t>(pair >> 16))};
      a[0][i] = take_part(v);
      a[1][i] = take_part(v);
    }
  } else if constexpr (F == Format::f32) {
    KRAIT_UNROLL
    for (int i = 0; i < 4; ++i) {
      Float2 v{float_of_bits(raw.word(2 * i)), float_of_bits(raw.word(2 * i + 1))};
      KRAIT_UNROLL
      for (int part = 0; part < 3; ++part) a[part][i] = take_part(v);
    }
  } else if constexpr (F == Format::q8_0 || F == Format::q6_k) {
    // A byte b becomes the float 2^23 + b; what is left after 2^23 + 128 fits into its upper half.
    constexpr float kBias = 8388608.0f + 128.0f;
    KRAIT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint32_t four = raw.word(2 * step + i / 2);
      const uint32_t first = i % 2 * 2;
      const float low = float_of_bits(permute_bytes(four, 0x4b000000u, 0x7440u + first)) - kBias;
      const float high = float_of_bits(permute_bytes(four, 0x4b000000u, 0x7441u + first)) - kBias;
      a[0][i] = permute_bytes(bits_of_float(low), bits_of_float(high), 0x7632u);
    }
  } else {
    // A nibble n becomes the bf16 128 + n.
    constexpr uint32_t kMinus = F == Format::q4_0 ? 0xc308c308u : 0xc300c300u;  // -136, -128
    const uint32_t eight = raw.word(step);
    KRAIT_UNROLL
    for (int i = 0; i < 4; ++i)
      a[0][i] = add_bf16((eight >> (4 * i) & 0x000f000fu) | 0x43004300u, kMinus);
  }
}

// Adds the columns of b to every row of d.
KRAIT_DEVICE void mma_ones(float (&d)[4], const uint32_t (&b)[2]) {
  constexpr uint32_t kOne = 0x3f803f80u;
  const uint32_t ones[4] = {kOne, kOne, kOne, kOne};
  mma_bf16(d, ones, b);
}

// The scales of one row tile, for the two rows of a lane (pair g).
struct Scale {
  float low, high;          // of row g, of row g + 8
  float min_low, min_high;  // subtracted, times the sum of the activations; only q4_k
};

// From the words of one block of columns: its small scale, and the super scales of its 256 columns.
template <Format F>
KRAIT_DEVICE Scale decode_scale(uint32_t small, const Word2& super) {
  const auto halves = [](uint32_t pair) {
    return Float2{f32_of_f16(static_cast<uint16_t>(pair & 0xffffu)),
                  f32_of_f16(static_cast<uint16_t>(pair >> 16))};
  };
  if constexpr (F == Format::q4_k) {
    const Float2 first = halves(super.x), second = halves(super.y);  // {d, dmin} each
    return {first.x * static_cast<float>(small & 0xffu),
            second.x * static_cast<float>(small >> 16 & 0xffu),
            first.y * static_cast<float>(small >> 8 & 0xffu),
            second.y * static_cast<float>(small >> 24)};
  } else if constexpr (F == Format::q6_k) {
    const Float2 d = halves(super.x);
    return {d.x * static_cast<float>(static_cast<int8_t>(small & 0xffu)),
            d.y * static_cast<float>(static_cast<int8_t>(small >> 8 & 0xffu)), 0, 0};
  } else {
    const Float2 d = halves(small);
    return {d.x, d.y, 0, 0};
  }
}

// The scales of one tile for the pair of rows g of a lane. `scales` and `supers` are the row
// tile's.
template <Format F>
struct TileScales {
  static constexpr int kBlocks = steps_per_scale(F) > 0 ? steps_per_tile(F) / steps_per_scale(F)
                                                        : 1;
  uint32_t small[kBlocks];
  Word2 super;

  KRAIT_DEVICE void load(const std::byte* scales, const std::byte* supers, int tile, int g) {
    constexpr int kSmall = F == Format::q6_k ? 2 : 4;  // bytes of a pair
    KRAIT_UNROLL
    for (int i = 0; i < kBlocks; ++i) {
      const std::byte* at = scales + ((tile * kBlocks + i) * 8 + g) * kSmall;
      if constexpr (F == Format::q6_k)
        small[i] = *reinterpret_cast<const uint16_t*>(at);
      else
        small[i] = *reinterpret_cast<const uint32_t*>(at);
    }
    const int block = tile * tile_cols(F) / 256;
    if constexpr (F == Format::q4_k)
      super = *reinterpret_cast<const Word2*>(supers + (block * 8 + g) * 8);
    else if constexpr (F == Format::q6_k)
      super = {*reinterpret_cast<const uint32_t*>(supers + (block * 8 + g) * 4), 0};
    else
      super = {0, 0};
  }
  KRAIT_DEVICE Scale of(int block) const { return decode_scale<F>(small[block], super); }
};

// Of the block of columns that begins with step `step` of the whole row.
template <Format F>
KRAIT_DEVICE Scale scale_of(const std::byte* scales, const std::byte* supers, int step, int g) {
  TileScales<F> tile;
  tile.load(scales, supers, step / steps_per_tile(F), g);
  return tile.of(step % steps_per_tile(F) / (steps_per_scale(F) > 0 ? steps_per_scale(F) : 1));
}

}  // namespace krait::cuda
