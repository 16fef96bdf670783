// What operations are given, as the kernels take it.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cuda/kernels.h"
#include "krait/backend.h"
#include "krait/error.h"
#include "src/backend/cuda/memory.h"

namespace krait::cuda {

inline const CudaMatrix& get(const Matrix& m) noexcept { return static_cast<const CudaMatrix&>(m); }
inline const float* get(const Vector* v) noexcept {
  return v ? static_cast<const CudaVector*>(v)->data() : nullptr;
}
inline Rows get(krait::Rows rows) noexcept { return {rows.data, rows.stride}; }
inline States get(StateView state) noexcept { return {state.data, state.slot_stride}; }

// Sizes fit: matrices were held to that when they were loaded, and steps have few tokens.
inline int32_t narrow(int64_t value) noexcept {
  KRAIT_CHECK(value >= 0 && value <= std::numeric_limits<int32_t>::max());
  return static_cast<int32_t>(value);
}

}  // namespace krait::cuda
