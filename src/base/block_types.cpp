// Field order and bit order are those of `block_*` and `dequantize_row_*` in ggml (ggml-common.h,
// ggml-quants.c). d, m and dmin are IEEE halves.
#include "src/base/block_types.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "krait/error.h"

namespace krait {
namespace {

struct ScaleAndMin {
  int scale, min;
};

int byte(const std::byte* at) noexcept { return std::to_integer<int>(*at); }

uint16_t half_bits(const std::byte* at) noexcept {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

float half(const std::byte* at) noexcept { return f32_from_f16(half_bits(at)); }

float real(int value) noexcept { return static_cast<float>(value); }

// The first half of a 32-element block has the low nibbles, the second the high ones.
int nibble(const std::byte* q, int e) noexcept {
  return e < 16 ? byte(q + e) & 15 : byte(q + e - 16) >> 4;
}

// Bit e of 32, byte by byte from the lowest.
int bit(const std::byte* bits, int e) noexcept { return byte(bits + e / 8) >> e % 8 & 1; }

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

// d, dmin | scales[12] | fifth bits[32] | q[128]
void q5_k(const std::byte* b, float* out) noexcept {
  const float d = half(b), dmin = half(b + 2);
  for (int e = 0; e < 256; ++e) {
    const ScaleAndMin s = scale_and_min(b + 4, e / 32);
    const int q = nibble_of_64(b + 48, e) | (byte(b + 16 + e % 32) >> e / 32 & 1) << 4;
    out[e] = d * real(s.scale) * real(q) - dmin * real(s.min);
  }
}

// d | q[32]
void split_q8_0(const std::byte* b, BlockParts& parts) noexcept {
  parts.d = half_bits(b);
  parts.scale[0] = 1;
  for (int e = 0; e < 32; ++e) parts.level[e] = static_cast<uint8_t>(byte(b + 2 + e) ^ 128);
}
void join_q8_0(const BlockParts& parts, std::byte* b) noexcept {
  std::memcpy(b, &parts.d, 2);
  for (int e = 0; e < 32; ++e) b[2 + e] = std::byte(parts.level[e] ^ 128);
}

// d | nibbles[16]
void split_q4_0(const std::byte* b, BlockParts& parts) noexcept {
  parts.d = half_bits(b);
  parts.scale[0] = 1;
  for (int e = 0; e < 32; ++e) parts.level[e] = static_cast<uint8_t>(nibble(b + 2, e));
}
void join_q4_0(const BlockParts& parts, std::byte* b) noexcept {
  std::memcpy(b, &parts.d, 2);
  for (int e = 0; e < 16; ++e) b[2 + e] = std::byte(parts.level[e] | parts.level[e + 16] << 4);
}

// d, dmin | scales[12] | q[128]
void split_q4_k(const std::byte* b, BlockParts& parts) noexcept {
  parts.d = half_bits(b);
  parts.dmin = half_bits(b + 2);
  for (int k = 0; k < 8; ++k) {
    const ScaleAndMin s = scale_and_min(b + 4, k);
    parts.scale[k] = static_cast<int8_t>(s.scale);
    parts.min[k] = static_cast<uint8_t>(s.min);
  }
  for (int e = 0; e < 256; ++e) parts.level[e] = static_cast<uint8_t>(nibble_of_64(b + 16, e));
}
void join_q4_k(const BlockParts& parts, std::byte* b) noexcept {
  std::memcpy(b, &parts.d, 2);
  std::memcpy(b + 2, &parts.dmin, 2);
  std::byte* s = b + 4;
  for (int k = 0; k < 4; ++k) {
    const int scale = parts.scale[k + 4], min = parts.min[k + 4];
    s[k] = std::byte(parts.scale[k] | scale >> 4 << 6);
    s[k + 4] = std::byte(parts.min[k] | min >> 4 << 6);
    s[k + 8] = std::byte((scale & 15) | (min & 15) << 4);
  }
  for (int i = 0; i < 128; ++i) {
    const uint8_t* low = parts.level.data() + i / 32 * 64 + i % 32;
    b[16 + i] = std::byte(low[0] | low[32] << 4);
  }
}

// low nibbles[128] | high pairs of bits[64] | scales[16] | d
void split_q6_k(const std::byte* b, BlockParts& parts) noexcept {
  parts.d = half_bits(b + 208);
  for (int k = 0; k < 16; ++k) parts.scale[k] = static_cast<int8_t>(byte(b + 192 + k));
  for (int e = 0; e < 256; ++e) {
    const int packed = byte(b + e / 128 * 64 + e % 64);
    const int low = e % 128 < 64 ? packed & 15 : packed >> 4;
    parts.level[e] = static_cast<uint8_t>(low | two_bits(b + 128, e) << 4);
  }
}
void join_q6_k(const BlockParts& parts, std::byte* b) noexcept {
  std::memcpy(b + 208, &parts.d, 2);
  for (int k = 0; k < 16; ++k) b[192 + k] = std::byte(static_cast<uint8_t>(parts.scale[k]));
  for (int e = 0; e < 256; ++e) {
    b[e / 128 * 64 + e % 64] |= std::byte((parts.level[e] & 15) << e % 128 / 64 * 4);
    b[128 + e / 128 * 32 + e % 32] |= std::byte(parts.level[e] >> 4 << e % 128 / 32 * 2);
  }
}

}  // namespace

void dequantize_block(DType type, const std::byte* block, float* out) noexcept {
  switch (type) {
    case DType::q4_1: return q4_1(block, out);
    case DType::q5_0: return q5_0(block, out);
    case DType::q5_1: return q5_1(block, out);
    case DType::q2_k: return q2_k(block, out);
    case DType::q3_k: return q3_k(block, out);
    case DType::q5_k: return q5_k(block, out);
    default: break;
  }
  BlockParts parts;
  split_block(type, block, parts);
  values_of(type, parts, dtype_info(type).block_elements, out);
}

bool has_block_parts(DType type) noexcept {
  return type == DType::q8_0 || type == DType::q4_0 || type == DType::q4_k || type == DType::q6_k;
}

int elements_per_scale(DType type) noexcept { return type == DType::q6_k ? 16 : 32; }

int level_offset(DType type) noexcept {
  switch (type) {
    case DType::q8_0: return 128;
    case DType::q4_0: return 8;
    case DType::q6_k: return 32;
    default: return 0;
  }
}

void split_block(DType type, const std::byte* block, BlockParts& parts) noexcept {
  KRAIT_CHECK(has_block_parts(type));
  switch (type) {
    case DType::q8_0: return split_q8_0(block, parts);
    case DType::q4_0: return split_q4_0(block, parts);
    case DType::q4_k: return split_q4_k(block, parts);
    default: return split_q6_k(block, parts);
  }
}

void join_block(DType type, const BlockParts& parts, std::byte* block) noexcept {
  KRAIT_CHECK(has_block_parts(type));
  std::memset(block, 0, static_cast<size_t>(dtype_info(type).block_bytes));
  switch (type) {
    case DType::q8_0: return join_q8_0(parts, block);
    case DType::q4_0: return join_q4_0(parts, block);
    case DType::q4_k: return join_q4_k(parts, block);
    default: return join_q6_k(parts, block);
  }
}

void values_of(DType type, const BlockParts& parts, int64_t count, float* out) noexcept {
  const float d = f32_from_f16(parts.d), dmin = f32_from_f16(parts.dmin);
  const int part = elements_per_scale(type), offset = level_offset(type);
  for (int64_t begin = 0; begin < count; begin += part) {
    const float scale = d * real(parts.scale[begin / part]);
    const float min = dmin * real(parts.min[begin / 32]);
    const int64_t end = std::min(count, begin + part);
    for (int64_t e = begin; e < end; ++e) out[e] = scale * real(parts.level[e] - offset) - min;
  }
}

}  // namespace krait
