#include "src/backend/cpu/packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "krait/error.h"

namespace krait {
namespace {

using cpu::kPanelRows;
using cpu::kQuantBlock;
using cpu::Packing;

// Where row r of a panel lies among the 32 values of one k.
int64_t lane(Packing packing, int64_t r) noexcept {
  if (packing != Packing::bf16) return r;
  return r < kPanelRows / 2 ? 2 * r : 2 * (r - kPanelRows / 2) + 1;
}

template <class Stored, class Convert>
void interleave(Packing packing, const std::vector<float>& rows, int64_t cols, std::byte* panel,
                Convert convert) {
  Stored* out = reinterpret_cast<Stored*>(panel);
  for (int64_t r = 0; r < kPanelRows; ++r) {
    const float* row = rows.data() + r * cols;
    Stored* to = out + lane(packing, r);
    for (int64_t k = 0; k < cols; ++k) to[k * kPanelRows] = convert(row[k]);
  }
}

// q8_0 as ggml defines it: scale = max |w| / 127 stored as half, q = round(w * 127 / max |w|),
// halves away from zero.
void quantize_block(const float* w, int64_t count, uint16_t& scale, uint8_t* out, int64_t stride) {
  float largest = 0.0f;
  for (int64_t k = 0; k < count; ++k) largest = std::max(largest, std::fabs(w[k]));
  const float d = largest / 127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  scale = f16_from_f32(d);
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    const float q = k < count ? std::round(w[k] * inverse) : 0.0f;
    out[k / 4 * stride + k % 4] =
        static_cast<uint8_t>(static_cast<int>(std::clamp(q, -127.0f, 127.0f)) + 128);
  }
}

void pack_q8(const std::vector<float>& rows, int64_t cols, std::byte* panel) {
  const int64_t blocks = cpu::ceil_div(cols, kQuantBlock);
  for (int64_t block = 0; block < blocks; ++block) {
    std::byte* start = panel + block * cpu::kQuantPanelBytes;
    uint16_t* scales = reinterpret_cast<uint16_t*>(start);
    uint8_t* q = reinterpret_cast<uint8_t*>(start + kPanelRows * 2);
    const int64_t count = std::min(kQuantBlock, cols - block * kQuantBlock);
    for (int64_t r = 0; r < kPanelRows; ++r)
      quantize_block(rows.data() + r * cols + block * kQuantBlock, count, scales[r], q + r * 4,
                     kPanelRows * 4);
  }
}

// Narrow types end at 65504 (for q8_0 that is the largest scale): refuse rather than store
// infinity.
void require_in_range(const std::vector<float>& rows, Packing packing, const std::string& name) {
  const float limit = packing == Packing::f16 ? 65504.0f : 65504.0f * 127.0f;
  for (const float value : rows)
    if (!(std::fabs(value) <= limit))
      throw InputError("tensor " + name + " holds " + std::to_string(value) + ", beyond what " +
                       (packing == Packing::f16 ? "f16" : "q8_0") +
                       " can hold; use --dtype bf16 or f32");
}

}  // namespace

cpu::Packing packing_of(DType type) noexcept {
  KRAIT_CHECK(is_weight_type(type));
  switch (type) {
    case DType::f16: return Packing::f16;
    case DType::bf16: return Packing::bf16;
    case DType::q8_0: return Packing::q8_0;
    default: return Packing::f32;
  }
}

void pack_panels(const Tensor& tensor, cpu::Packing packing, int64_t first, int64_t last,
                 std::byte* panels, const std::string& name) {
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  const int64_t panel_bytes = cpu::panel_bytes(packing, cols);
  std::vector<float> values(kPanelRows * cols);
  for (int64_t panel = first; panel < last; ++panel) {
    const int64_t row = panel * kPanelRows;
    const int64_t count = std::min(kPanelRows, rows - row) * cols;
    copy_to_f32(tensor, row * cols, count, values.data(), name);
    std::fill(values.begin() + count, values.end(), 0.0f);
    std::byte* out = panels + panel * panel_bytes;
    switch (packing) {
      case Packing::f32:
        interleave<float>(packing, values, cols, out, [](float v) { return v; });
        break;
      case Packing::f16:
        if (tensor.dtype != DType::f16) require_in_range(values, packing, name);
        interleave<uint16_t>(packing, values, cols, out, f16_from_f32);
        break;
      case Packing::bf16: interleave<uint16_t>(packing, values, cols, out, bf16_from_f32); break;
      case Packing::q8_0:
        require_in_range(values, packing, name);
        pack_q8(values, cols, out);
        break;
    }
  }
}

void unpack_row(const std::byte* panels, cpu::Packing packing, int64_t cols, int64_t row,
                float* out) noexcept {
  const std::byte* panel = panels + row / kPanelRows * cpu::panel_bytes(packing, cols);
  const int64_t r = row % kPanelRows;
  if (packing == Packing::q8_0) {
    for (int64_t k = 0; k < cols; ++k) {
      const std::byte* block = panel + k / kQuantBlock * cpu::kQuantPanelBytes;
      uint16_t scale;
      std::memcpy(&scale, block + 2 * r, sizeof scale);
      const int64_t in_block = k % kQuantBlock;
      const std::byte q =
          block[kPanelRows * 2 + (in_block / 4 * kPanelRows + r) * 4 + in_block % 4];
      out[k] = f32_from_f16(scale) * static_cast<float>(std::to_integer<int>(q) - 128);
    }
    return;
  }
  const int64_t first = lane(packing, r);
  for (int64_t k = 0; k < cols; ++k) {
    const int64_t i = k * kPanelRows + first;
    if (packing == Packing::f32)
      out[k] = reinterpret_cast<const float*>(panel)[i];
    else if (packing == Packing::f16)
      out[k] = f32_from_f16(reinterpret_cast<const uint16_t*>(panel)[i]);
    else
      out[k] = f32_from_bf16(reinterpret_cast<const uint16_t*>(panel)[i]);
  }
}

}  // namespace krait
