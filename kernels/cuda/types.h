// Values that device.h and its twin share.
#pragma once

#include <cstdint>

namespace krait::cuda {

inline constexpr int kWarp = 32;

struct alignas(8) Float2 {
  float x, y;
};
struct alignas(16) Float4 {
  float x, y, z, w;
};
struct alignas(8) Word2 {
  uint32_t x, y;
};
struct alignas(16) Word4 {
  uint32_t x, y, z, w;
};

}  // namespace krait::cuda
