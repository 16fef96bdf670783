#include "src/base/weight_values.h"

#include <algorithm>
#include <array>
#include <bit>
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

namespace {

// Whether the bits of a value, without the sign, exceed those of `largest`, the largest allowed:
// what is added then carries into the bit of the sign. Every weight comes by here at load, and this
// becomes vectors.
template <class Bits, class Value>
bool any_exceeds(std::span<const Value> values, Bits largest) noexcept {
  static_assert(sizeof(Bits) == sizeof(Value));
  constexpr Bits kMagnitude = static_cast<Bits>(~Bits{0}) >> 1;
  constexpr size_t kAtOnce = 64 / sizeof(Bits);
  const auto carry = static_cast<Bits>(kMagnitude - largest);
  const auto look_at = [&](size_t i) {
    return static_cast<Bits>((std::bit_cast<Bits>(values[i]) & kMagnitude) + carry);
  };
  std::array<Bits, kAtOnce> carried{};
  size_t i = 0;
  for (; i + kAtOnce <= values.size(); i += kAtOnce)
    for (size_t k = 0; k < kAtOnce; ++k) carried[k] |= look_at(i + k);
  for (; i < values.size(); ++i) carried[0] |= look_at(i);
  Bits all = 0;
  for (const Bits bits : carried) all |= bits;
  return all > kMagnitude;
}

}  // namespace

void require_storable(std::span<const float> values, DType type, const Tensor& tensor,
                      int64_t first, const std::string& name) {
  const float largest = largest_of(type);
  if (!any_exceeds(values, std::bit_cast<uint32_t>(largest))) return;
  const auto is_wrong = [largest](float value) { return !(std::fabs(value) <= largest); };
  const auto at = std::find_if(values.begin(), values.end(), is_wrong);
  refuse(*at, type, tensor, first + (at - values.begin()), name);
}

void require_finite(std::span<const uint16_t> halves, const Tensor& tensor, int64_t first,
                    const std::string& name) {
  const bool is_f16 = tensor.dtype == DType::f16;
  const uint16_t largest = is_f16 ? 0x7bff : 0x7f7f;
  if (!any_exceeds(halves, largest)) return;
  const auto is_wrong = [largest](uint16_t half) { return (half & 0x7fff) > largest; };
  const auto at = std::find_if(halves.begin(), halves.end(), is_wrong);
  refuse(is_f16 ? f32_from_f16(*at) : f32_from_bf16(*at), tensor.dtype, tensor,
         first + (at - halves.begin()), name);
}

}  // namespace krait
