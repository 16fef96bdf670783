#include "src/backend/cpu/quantised_panels.h"

#include <algorithm>
#include <cstring>

#include "krait/error.h"
#include "src/base/weight_blocks.h"

namespace krait {
namespace {

using cpu::kPanelRows;
using cpu::kQuantBlock;
using cpu::Packing;

DType type_of(Packing packing) noexcept {
  KRAIT_CHECK(cpu::is_quantised(packing));
  switch (packing) {
    case Packing::q4_0: return DType::q4_0;
    case Packing::q4_k: return DType::q4_k;
    case Packing::q6_k: return DType::q6_k;
    default: return DType::q8_0;
  }
}

// Where four levels of one row lie, those of k = 4 j .. 4 j + 3, within the levels of a block.
constexpr int64_t kGroups = kQuantBlock / 4;
constexpr int64_t kHalfRows = kPanelRows / 2;
constexpr int64_t kLine = kHalfRows * 4;  // bytes that hold four levels of 16 rows

int64_t nibbles_at(Packing packing, int64_t r, int64_t j) noexcept {
  const int64_t line = packing == Packing::q6_k ? j / 2 * 3 + 1 + j % 2 : j;
  return line * kLine + r % kHalfRows * 4;
}
int64_t high_bits_at(int64_t r, int64_t j) noexcept {
  return j / 2 * 3 * kLine + r % kHalfRows * 4;
}
int64_t nibble_shift(int64_t r) noexcept { return r / kHalfRows * 4; }
int64_t high_shift(int64_t r, int64_t j) noexcept { return j % 2 * 4 + r / kHalfRows * 2; }

uint32_t word(const void* at) noexcept {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
void or_word(std::byte* at, uint32_t bits) noexcept {
  const uint32_t value = word(at) | bits;
  std::memcpy(at, &value, sizeof value);
}

void put_levels(Packing packing, const uint8_t* level, int64_t r, std::byte* levels) noexcept {
  for (int64_t j = 0; j < kGroups; ++j) {
    const uint32_t four = word(level + 4 * j);
    if (packing == Packing::q8_0) {
      std::memcpy(levels + (j * kPanelRows + r) * 4, &four, sizeof four);
      continue;
    }
    or_word(levels + nibbles_at(packing, r, j), (four & 0x0f0f0f0fu) << nibble_shift(r));
    if (packing == Packing::q6_k)
      or_word(levels + high_bits_at(r, j), (four >> 4 & 0x03030303u) << high_shift(r, j));
  }
}

void get_levels(Packing packing, const std::byte* levels, int64_t r, uint8_t* level) noexcept {
  for (int64_t j = 0; j < kGroups; ++j) {
    uint32_t four;
    if (packing == Packing::q8_0) {
      four = word(levels + (j * kPanelRows + r) * 4);
    } else {
      four = word(levels + nibbles_at(packing, r, j)) >> nibble_shift(r) & 0x0f0f0f0fu;
      if (packing == Packing::q6_k)
        four |= (word(levels + high_bits_at(r, j)) >> high_shift(r, j) & 0x03030303u) << 4;
    }
    std::memcpy(level + 4 * j, &four, sizeof four);
  }
}

// The parts of one ggml block, whose first block of 32 k is `first` and which has `count` of them
// inside the matrix.
void put_parts(Packing packing, const BlockParts& parts, int64_t first, int64_t count, int64_t r,
               std::byte* panel) noexcept {
  const cpu::QuantLayout layout = cpu::quant_layout(packing);
  std::byte* header = panel + cpu::header_offset(layout, first);
  if (layout.header > 0) std::memcpy(header + 2 * r, &parts.d, 2);
  if (packing == Packing::q4_k) std::memcpy(header + 2 * (kPanelRows + r), &parts.dmin, 2);
  for (int64_t i = 0; i < count; ++i) {
    std::byte* scales = panel + cpu::block_offset(layout, first + i);
    if (layout.header == 0) {
      std::memcpy(scales + 2 * r, &parts.d, 2);
    } else if (packing == Packing::q4_k) {
      scales[r] = std::byte(parts.scale[i]);
      scales[kPanelRows + r] = std::byte(parts.min[i]);
    } else {
      scales[r] = std::byte(parts.scale[2 * i]);
      scales[kPanelRows + r] = std::byte(parts.scale[2 * i + 1]);
    }
    put_levels(packing, parts.level.data() + i * kQuantBlock, r, scales + cpu::kScaleBytes);
  }
}

// The inverse.
BlockParts get_parts(Packing packing, const std::byte* panel, int64_t first, int64_t count,
                     int64_t r) noexcept {
  const cpu::QuantLayout layout = cpu::quant_layout(packing);
  const std::byte* header = panel + cpu::header_offset(layout, first);
  BlockParts parts;
  if (layout.header > 0) std::memcpy(&parts.d, header + 2 * r, 2);
  if (packing == Packing::q4_k) std::memcpy(&parts.dmin, header + 2 * (kPanelRows + r), 2);
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* scales = panel + cpu::block_offset(layout, first + i);
    const auto signed_scale = [&](int64_t at) { return std::to_integer<int8_t>(scales[at]); };
    if (layout.header == 0) {
      std::memcpy(&parts.d, scales + 2 * r, 2);
      parts.scale[i] = 1;
    } else if (packing == Packing::q4_k) {
      parts.scale[i] = signed_scale(r);
      parts.min[i] = std::to_integer<uint8_t>(scales[kPanelRows + r]);
    } else {
      parts.scale[2 * i] = signed_scale(r);
      parts.scale[2 * i + 1] = signed_scale(kPanelRows + r);
    }
    get_levels(packing, scales + cpu::kScaleBytes, r, parts.level.data() + i * kQuantBlock);
  }
  return parts;
}

}  // namespace

void pack_quantised(const Tensor& tensor, cpu::Packing packing, int64_t row, int64_t count,
                    std::byte* panel, const std::string& name) {
  const DType type = type_of(packing);
  const int64_t blocks = cpu::ceil_div(tensor.shape[1], kQuantBlock);
  const int64_t per_group = dtype_info(type).block_elements / kQuantBlock;
  BlockRows rows(tensor, type, name);
  for (int64_t r = 0; r < count; ++r)
    rows.for_each(row + r, [&](int64_t group, const BlockParts& parts) {
      const int64_t first = group * per_group;
      put_parts(packing, parts, first, std::min(per_group, blocks - first), r, panel);
    });
}

void unpack_quantised(const std::byte* panel, cpu::Packing packing, int64_t cols, int64_t r,
                      float* out) noexcept {
  const DType type = type_of(packing);
  const int64_t elements = dtype_info(type).block_elements;
  for (int64_t k = 0; k < cols; k += elements) {
    const int64_t count = std::min(elements, cols - k);
    const BlockParts parts =
        get_parts(packing, panel, k / kQuantBlock, cpu::ceil_div(count, kQuantBlock), r);
    values_of(type, parts, count, out + k);
  }
}

}  // namespace krait
