#include "src/base/weight_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "krait/error.h"
#include "src/base/quantize_blocks.h"

namespace krait {
namespace {

constexpr float kLargestHalf = 65504.0f;

float largest_of(DType type) noexcept {
  switch (type) {
    case DType::f32: return std::numeric_limits<float>::max();
    case DType::bf16: return f32_from_bf16(0x7f7f);
    case DType::f16: return kLargestHalf;
    default: return block_type_limit(type);
  }
}

[[noreturn]] void refuse(float value, DType type, const Tensor& tensor, int64_t index,
                         const std::string& name) {
  const std::string what = "tensor " + name + " holds " +
                           (std::isnan(value) ? "nan" : std::to_string(value)) + " at " +
                           place_of(tensor, index);
  if (!std::isfinite(value)) throw InputError(what + "; expected finite numbers");
  throw InputError(what + ", beyond what " + std::string(dtype_name(type)) +
                   " can hold; use bf16 or f32");
}

}  // namespace

std::string place_of(const Tensor& tensor, int64_t index) {
  Shape place = tensor.shape;
  for (size_t i = place.size(); i-- > 0;) {
    const int64_t size = place[i];
    place[i] = index % size;
    index /= size;
  }
  return to_string(place);
}

// All are looked at before one is looked for: so the compiler makes vectors of the loop.
void require_storable(std::span<const float> values, DType type, const Tensor& tensor,
                      int64_t first, const std::string& name) {
  const float largest = largest_of(type);
  const auto is_wrong = [largest](float value) { return !(std::fabs(value) <= largest); };
  int wrong = 0;
  for (const float value : values) wrong |= is_wrong(value);
  if (!wrong) return;
  const auto at = std::find_if(values.begin(), values.end(), is_wrong);
  refuse(*at, type, tensor, first + (at - values.begin()), name);
}

void require_finite(std::span<const uint16_t> halves, const Tensor& tensor, int64_t first,
                    const std::string& name) {
  const bool is_f16 = tensor.dtype == DType::f16;
  const int16_t largest = is_f16 ? 0x7bff : 0x7f7f;
  const auto is_wrong = [largest](uint16_t half) {
    return static_cast<int16_t>(half & 0x7fff) > largest;
  };
  uint16_t wrong = 0;
  for (const uint16_t half : halves) wrong = static_cast<uint16_t>(wrong | is_wrong(half));
  if (!wrong) return;
  const auto at = std::find_if(halves.begin(), halves.end(), is_wrong);
  refuse(is_f16 ? f32_from_f16(*at) : f32_from_bf16(*at), tensor.dtype, tensor,
         first + (at - halves.begin()), name);
}

}  // namespace krait
