// Activations to what products want: int8 in blocks of 32 along k, scale = max |x| / 127; or bf16.
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/simd.h"

namespace krait::cpu::KRAIT_ISA {
namespace {

constexpr int64_t kLineBlocks = 2;  // blocks of q in 64 bytes

// Sums of 16 by 16 of two blocks.
KRAIT_INLINE void sum_halves(const int8_t* q, int32_t* sums) {
  const I fours = dot4(set1(0), set1(0x01010101), load_bytes(reinterpret_cast<const uint8_t*>(q)));
  int32_t four[kLanes];
  std::memcpy(four, &fours, sizeof four);
  for (int i = 0; i < 4; ++i)
    sums[i] = four[4 * i] + four[4 * i + 1] + four[4 * i + 2] + four[4 * i + 3];
}

}  // namespace

void quantize_row(const float* x, int64_t cols, int64_t token, const QuantRows& out) noexcept {
  int8_t* q = out.q + token * out.blocks * kQuantBlock;
  float* scale = out.scale + token * out.blocks;
  for (int64_t block = 0; block < out.blocks; ++block) {
    const int64_t k = block * kQuantBlock;
    const int64_t left = cols - k;
    const F lo = load_first(x + k, left < kLanes ? left : kLanes);
    const F hi = left > kLanes
                     ? load_first(x + k + kLanes, left < 2 * kLanes ? left - kLanes : kLanes)
                     : zero();
    const float largest = max_magnitude(lo, hi);
    // A block of zeros, or one so small that its inverse overflows, becomes zero.
    const float inverse = largest > 1e-36f ? 127.0f / largest : 0.0f;
    store_int8(q + k, mul(lo, set1(inverse)));
    store_int8(q + k + kLanes, mul(hi, set1(inverse)));
    // NaN where a value was NaN or infinite, so that it shows in the result.
    scale[block] = (inverse > 0.0f ? largest / 127.0f : 0.0f) + (largest - largest);
  }
  int32_t* sums = out.sums + 2 * token * out.blocks;
  int64_t block = 0;
  for (; block + kLineBlocks <= out.blocks; block += kLineBlocks)
    sum_halves(q + block * kQuantBlock, sums + 2 * block);
  if (block == out.blocks) return;
  int8_t line[kLineBlocks * kQuantBlock] = {};
  int32_t line_sums[2 * kLineBlocks];
  std::memcpy(line, q + block * kQuantBlock, kQuantBlock);
  sum_halves(line, line_sums);
  sums[2 * block] = line_sums[0];
  sums[2 * block + 1] = line_sums[1];
}

void round_row(const float* x, int64_t cols, int64_t token, const RoundedRows& out) noexcept {
  uint16_t* to = out.x + token * out.stride;
  int64_t k = 0;
  for (; k + kLanes <= cols; k += kLanes) store_bf16(to + k, load(x + k));
  if (k < cols) store_bf16(to + k, load_first(x + k, cols - k));
}

}  // namespace krait::cpu::KRAIT_ISA
