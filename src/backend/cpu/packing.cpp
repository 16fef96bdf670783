#include "src/backend/cpu/packing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "krait/error.h"
#include "src/backend/cpu/quantised_panels.h"

namespace krait {
namespace {

using cpu::kPanelRows;
using cpu::Packing;

// Where column k of row r lies in a panel of floats.
int64_t place(Packing packing, int64_t r, int64_t k) noexcept {
  if (packing != Packing::bf16) return k * kPanelRows + r;
  return (k / 2 * kPanelRows + r) * 2 + k % 2;
}

template <class Stored, class Convert>
void interleave(Packing packing, const std::vector<float>& rows, int64_t cols, std::byte* panel,
                Convert convert) {
  Stored* out = reinterpret_cast<Stored*>(panel);
  for (int64_t r = 0; r < kPanelRows; ++r) {
    const float* row = rows.data() + r * cols;
    for (int64_t k = 0; k < cols; ++k) out[place(packing, r, k)] = convert(row[k]);
  }
}

// f16 ends at 65504: refuse rather than store infinity.
void require_in_range(const std::vector<float>& rows, const std::string& name) {
  for (const float value : rows)
    if (!(std::fabs(value) <= 65504.0f))
      throw InputError("tensor " + name + " holds " + std::to_string(value) +
                       ", beyond what f16 can hold; use --dtype bf16 or f32");
}

}  // namespace

cpu::Packing packing_of(DType type) noexcept {
  KRAIT_CHECK(is_weight_type(type));
  switch (type) {
    case DType::f16: return Packing::f16;
    case DType::bf16: return Packing::bf16;
    case DType::q8_0: return Packing::q8_0;
    case DType::q4_0: return Packing::q4_0;
    case DType::q4_k: return Packing::q4_k;
    case DType::q6_k: return Packing::q6_k;
    default: return Packing::f32;
  }
}

void pack_panels(const Tensor& tensor, cpu::Packing packing, int64_t first, int64_t last,
                 std::byte* panels, const std::string& name) {
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  const int64_t panel_bytes = cpu::panel_bytes(packing, cols);
  std::vector<float> values(cpu::is_quantised(packing) ? 0 : kPanelRows * cols);
  for (int64_t panel = first; panel < last; ++panel) {
    const int64_t row = panel * kPanelRows, count = std::min(kPanelRows, rows - row);
    std::byte* out = panels + panel * panel_bytes;
    if (cpu::is_quantised(packing)) {
      pack_quantised(tensor, packing, row, count, out, name);
      continue;
    }
    copy_to_f32(tensor, row * cols, count * cols, values.data(), name);
    std::fill(values.begin() + count * cols, values.end(), 0.0f);
    if (packing == Packing::f32) {
      interleave<float>(packing, values, cols, out, [](float v) { return v; });
    } else if (packing == Packing::bf16) {
      interleave<uint16_t>(packing, values, cols, out, bf16_from_f32);
    } else {
      if (tensor.dtype != DType::f16) require_in_range(values, name);
      interleave<uint16_t>(packing, values, cols, out, f16_from_f32);
    }
  }
}

void unpack_row(const std::byte* panels, cpu::Packing packing, int64_t cols, int64_t row,
                float* out) noexcept {
  const std::byte* panel = panels + row / kPanelRows * cpu::panel_bytes(packing, cols);
  const int64_t r = row % kPanelRows;
  if (cpu::is_quantised(packing)) return unpack_quantised(panel, packing, cols, r, out);
  for (int64_t k = 0; k < cols; ++k) {
    const int64_t i = place(packing, r, k);
    if (packing == Packing::f32)
      out[k] = reinterpret_cast<const float*>(panel)[i];
    else if (packing == Packing::f16)
      out[k] = f32_from_f16(reinterpret_cast<const uint16_t*>(panel)[i]);
    else
      out[k] = f32_from_bf16(reinterpret_cast<const uint16_t*>(panel)[i]);
  }
}

}  // namespace krait
