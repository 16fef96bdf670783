#include "src/backend/cpu/packing.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "krait/error.h"
#include "src/backend/cpu/quantised_panels.h"
#include "src/base/weight_values.h"

namespace krait {
namespace {

using cpu::kPanelRows;
using cpu::Packing;

DType type_of(Packing packing) noexcept {  // of floats
  return packing == Packing::f16 ? DType::f16 : packing == Packing::bf16 ? DType::bf16 : DType::f32;
}

// Where column k of row r lies in a panel of floats.
int64_t place(Packing packing, int64_t r, int64_t k) noexcept {
  if (packing != Packing::bf16) return k * kPanelRows + r;
  return (k / 2 * kPanelRows + r) * 2 + k % 2;
}

// `rows` [32, cols] into a panel, by blocks of columns that stay in the first-level cache.
template <class Stored, class Value, class Convert>
void interleave(Packing packing, const std::vector<Value>& rows, int64_t cols, std::byte* panel,
                Convert convert) {
  constexpr int64_t kBlock = 64;
  Stored* out = reinterpret_cast<Stored*>(panel);
  for (int64_t begin = 0; begin < cols; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, cols);
    for (int64_t r = 0; r < kPanelRows; ++r) {
      const Value* row = rows.data() + r * cols;
      for (int64_t k = begin; k < end; ++k) out[place(packing, r, k)] = convert(row[k]);
    }
  }
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
  const bool quantised = cpu::is_quantised(packing);
  // 16-bit weights that stay what they are need no conversion.
  const bool halves = (packing == Packing::f16 && tensor.dtype == DType::f16) ||
                      (packing == Packing::bf16 && tensor.dtype == DType::bf16);
  std::vector<float> values(quantised || halves ? 0 : kPanelRows * cols);
  std::vector<uint16_t> stored(halves ? kPanelRows * cols : 0);
  const auto as_it_is = [](auto v) { return v; };
  for (int64_t panel = first; panel < last; ++panel) {
    const int64_t row = panel * kPanelRows, count = std::min(kPanelRows, rows - row);
    std::byte* out = panels + panel * panel_bytes;
    if (quantised) {
      pack_quantised(tensor, packing, row, count, out, name);
    } else if (halves) {
      for (int64_t r = 0; r < count; ++r) {  // a row at a time: it is looked at in the cache
        const std::span values_of_row(stored.data() + r * cols, static_cast<size_t>(cols));
        std::memcpy(values_of_row.data(), tensor.data.data() + (row + r) * cols * 2, cols * 2);
        require_finite(values_of_row, tensor, (row + r) * cols, name);
      }
      std::fill(stored.begin() + count * cols, stored.end(), uint16_t{0});
      interleave<uint16_t>(packing, stored, cols, out, as_it_is);
    } else {
      for (int64_t r = 0; r < count; ++r) {
        const std::span values_of_row(values.data() + r * cols, static_cast<size_t>(cols));
        copy_to_f32(tensor, (row + r) * cols, cols, values_of_row.data(), name);
        require_storable(values_of_row, type_of(packing), tensor, (row + r) * cols, name);
      }
      std::fill(values.begin() + count * cols, values.end(), 0.0f);
      if (packing == Packing::f32) interleave<float>(packing, values, cols, out, as_it_is);
      if (packing == Packing::f16) interleave<uint16_t>(packing, values, cols, out, f16_from_f32);
      if (packing == Packing::bf16) interleave<uint16_t>(packing, values, cols, out, bf16_from_f32);
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
