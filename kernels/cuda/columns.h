// Four consecutive columns of a row at once. Rows begin at any float, and a row's end need not be a
// multiple of four: what lies beyond it reads as 0 and is not written.
#pragma once

#include "kernels/cuda/device.h"

namespace krait::cuda {

KRAIT_DEVICE bool four_fit(const float* from, int64_t left) {
  return left >= 4 && reinterpret_cast<uintptr_t>(from) % alignof(Float4) == 0;
}

KRAIT_DEVICE Float4 load_columns(const float* from, int64_t left) {
  if (four_fit(from, left)) return load4(from);
  Float4 v{0.0f, 0.0f, 0.0f, 0.0f};
  if (left > 0) v.x = from[0];
  if (left > 1) v.y = from[1];
  if (left > 2) v.z = from[2];
  if (left > 3) v.w = from[3];
  return v;
}

KRAIT_DEVICE void store_columns(float* to, int64_t left, const Float4& v) {
  if (four_fit(to, left)) {
    *reinterpret_cast<Float4*>(to) = v;
    return;
  }
  if (left > 0) to[0] = v.x;
  if (left > 1) to[1] = v.y;
  if (left > 2) to[2] = v.z;
  if (left > 3) to[3] = v.w;
}

}  // namespace krait::cuda
