#include "krait/state.h"

namespace krait {

int64_t StateLayout::add(int32_t layer, std::string name, int64_t rows, int64_t cols) {
  constexpr int64_t kFloatsPerLine = 64 / sizeof(float);
  const int64_t offset = floats_;
  planes_.push_back({std::move(name), layer, rows, cols, offset});
  floats_ += (rows * cols + kFloatsPerLine - 1) / kFloatsPerLine * kFloatsPerLine;
  return offset;
}

}  // namespace krait
