// Field order and bit order are those of `block_*` and `dequantize_row_*` in ggml (ggml-common.h,
// ggml-quants.c). d, m and dmin are IEEE halves.
#include "src/base/block_types.h"

#include <cstdint>
#include <cstring>

#include "krait/error.h"

namespace krait {
namespace {

struct ScaleAndMin {
  int scale, min;
};

int byte(const std::byte* at) noexcept { return std::to_integer<int>(*at); }

int signed_byte(const std::byte* at) noexcept { return static_cast<int8_t>(byte(at)); }

float half(const std::byte* at) noexcept {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f32_from_f16(bits);
}

float real(int value) noexcept { return static_cast<float>(value); }

// The first half of a 32-element block has the low nibbles, the second the high ones.
int nibble(const std::byte* q, int e) noexcept {
  return e < 16 ? byte(q + e) & 15 : byte(q + e - 16) >> 4;
}

// Bit e of 32, byte by byte from the lowest.
int bit(const std::byte* bits, int e) noexcept { return byte(bits + e / 8) >> e % 8 & 1; }

// d | q[32]
void q8_0(const std::byte* b, float* out) noexcept {
  const float d = half(b);
  for (int e = 0; e < 32; ++e) out[e] = real(signed_byte(b + 2 + e)) * d;
}

// d | nibbles[16]
void q4_0(const std::byte* b, float* out) noexcept {
  const float d = half(b);
  for (int e = 0; e < 32; ++e) out[e] = real(nibble(b + 2, e) - 8) * d;
}

// d, m | nibbles[16]
void q4_1(const std::byte* b, float* out) noexcept {
  const float d = half(b), m = half(b + 2);
  for (int e = 0; e < 32; ++e) out[e] = real(nibble(b + 4, e)) * d + m;
}

// d | fifth bits[4] | nibbles[16]
void q5_0(const std::byte* b, float* out) noexcept {
  const float d = half(b);
  for (int e = 0; e < 32; ++e) out[e] = real((nibble(b + 6, e) | bit(b + 2, e) << 4) - 16) * d;
}

// d, m | fifth bits[4] | nibbles[16]
void q5_1(const std::byte* b, float* out) noexcept {
  const float d = half(b), m = half(b + 2);
  for (int e = 0; e < 32; ++e) out[e] = real(nibble(b + 8, e) | bit(b + 4, e) << 4) * d + m;
}

// Two bits of element e: a byte holds those of four elements 32 apart.
int two_bits(const std::byte* q, int e) noexcept {
  return byte(q + e / 128 * 32 + e % 32) >> e % 128 / 32 * 2 & 3;
}

// scales[16]: scale, min as nibbles | q[64] | d, dmin
void q2_k(const std::byte* b, float* out) noexcept {
  const float d = half(b + 80), dmin = half(b + 82);
  for (int e = 0; e < 256; ++e) {
    const int s = byte(b + e / 16);
    out[e] = d * real(s & 15) * real(two_bits(b + 16, e)) - dmin * real(s >> 4);
  }
}

// The sixteen 6-bit scales of q3_k: four low bits in the nibbles of s[0..8), two high ones in
// s[8..12).
int q3_k_scale(const std::byte* s, int k) noexcept {
  const int low = k < 8 ? byte(s + k) & 15 : byte(s + k - 8) >> 4;
  return (low | (byte(s + 8 + k % 4) >> k / 4 * 2 & 3) << 4) - 32;
}

// third bits[32] | q[64] | scales[12] | d
void q3_k(const std::byte* b, float* out) noexcept {
  const float d = half(b + 108);
  for (int e = 0; e < 256; ++e) {
    const int q = two_bits(b + 32, e) - ((byte(b + e % 32) >> e / 32 & 1) ? 0 : 4);
    out[e] = d * real(q3_k_scale(b + 96, e / 16)) * real(q);
  }
}

// The eight pairs of 6 bits of q4_k and q5_k: four pairs whole in s[0..4) and s[4..8), the others
// in the nibbles of s[8..12) and the top bits of the first eight bytes.
ScaleAndMin scale_and_min(const std::byte* s, int k) noexcept {
  if (k < 4) return {byte(s + k) & 63, byte(s + k + 4) & 63};
  return {(byte(s + k + 4) & 15) | byte(s + k - 4) >> 6 << 4,
          byte(s + k + 4) >> 4 | byte(s + k) >> 6 << 4};
}

// 64 elements share 32 bytes: the low nibbles come first.
int nibble_of_64(const std::byte* q, int e) noexcept {
  const int value = byte(q + e / 64 * 32 + e % 32);
  return e % 64 < 32 ? value & 15 : value >> 4;
}

// d, dmin | scales[12] | q[128]
void q4_k(const std::byte* b, float* out) noexcept {
  const float d = half(b), dmin = half(b + 2);
  for (int e = 0; e < 256; ++e) {
    const ScaleAndMin s = scale_and_min(b + 4, e / 32);
    out[e] = d * real(s.scale) * real(nibble_of_64(b + 16, e)) - dmin * real(s.min);
  }
}

// d, dmin | scales[12] | fifth bits[32] | q[128]
void q5_k(const std::byte* b, float* out) noexcept {
  const float d = half(b), dmin = half(b + 2);
  for (int e = 0; e < 256; ++e) {
    const ScaleAndMin s = scale_and_min(b + 4, e / 32);
    const int q = nibble_of_64(b + 48, e) | (byte(b + 16 + e % 32) >> e / 32 & 1) << 4;
    out[e] = d * real(s.scale) * real(q) - dmin * real(s.min);
  }
}

// low nibbles[128] | high pairs of bits[64] | scales[16] | d
void q6_k(const std::byte* b, float* out) noexcept {
  const float d = half(b + 208);
  for (int e = 0; e < 256; ++e) {
    const int packed = byte(b + e / 128 * 64 + e % 64);
    const int low = e % 128 < 64 ? packed & 15 : packed >> 4;
    const int q = (low | two_bits(b + 128, e) << 4) - 32;
    out[e] = d * real(signed_byte(b + 192 + e / 16)) * real(q);
  }
}

}  // namespace

void dequantize_block(DType type, const std::byte* block, float* out) noexcept {
  switch (type) {
    case DType::q8_0: return q8_0(block, out);
    case DType::q4_0: return q4_0(block, out);
    case DType::q4_1: return q4_1(block, out);
    case DType::q5_0: return q5_0(block, out);
    case DType::q5_1: return q5_1(block, out);
    case DType::q2_k: return q2_k(block, out);
    case DType::q3_k: return q3_k(block, out);
    case DType::q4_k: return q4_k(block, out);
    case DType::q5_k: return q5_k(block, out);
    case DType::q6_k: return q6_k(block, out);
    default: KRAIT_CHECK(!"a block type");
  }
}

}  // namespace krait
