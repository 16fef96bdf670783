#include "src/base/quantize_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "krait/error.h"

namespace krait {
namespace {

constexpr float kLargestHalf = 65504.0f;

// Four elements at a time: V has the compilers' arithmetic on vectors, on every machine.
using V = float __attribute__((vector_size(16)));
constexpr int kLanes = 4;

V load(const float* x) noexcept {
  V v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

float total(V v) noexcept { return (v[0] + v[1]) + (v[2] + v[3]); }

template <class T>
T larger(T a, T b) noexcept {
  return a > b ? a : b;
}
template <class T>
T smaller(T a, T b) noexcept {
  return a < b ? a : b;
}
#if defined(__SSE__) && defined(__GNUC__)  // one instruction, which compilers do not find
template <>
V larger(V a, V b) noexcept {
  return __builtin_ia32_maxps(a, b);
}
template <>
V smaller(V a, V b) noexcept {
  return __builtin_ia32_minps(a, b);
}
#endif

// The smallest and the largest value.
struct Range {
  float low, high;
};
template <int kCount>
Range range_of(const float* x) noexcept {
  V low = load(x), high = low;
  for (int i = kLanes; i < kCount; i += kLanes) {
    low = smaller(low, load(x + i));
    high = larger(high, load(x + i));
  }
  return {smaller(smaller(low[0], low[1]), smaller(low[2], low[3])),
          larger(larger(high[0], high[1]), larger(high[2], high[3]))};
}

// The largest |value|, with its sign; the first of several.
template <int kCount>
float largest_of(const float* x) noexcept {
  const auto [low, high] = range_of<kCount>(x);
  if (high != -low) return high > -low ? high : low;
  return *std::find_if(x, x + kCount - 1, [h = high](float v) { return std::fabs(v) == h; });
}

// 1 / d, or 0 where that is not finite: then d is 0 as a half, and levels do not matter.
float inverse_of(float d) noexcept {
  return std::fabs(d) >= std::numeric_limits<float>::min() ? 1.0f / d : 0.0f;
}

// d = max |x| / 127; levels round half away from zero.
void quantize_q8_0(const float* x, BlockParts& out) noexcept {
  const float d = std::fabs(largest_of<32>(x)) / 127.0f;
  const float inverse = inverse_of(d);
  out.d = f16_from_f32(d);
  out.scale[0] = 1;
  for (int i = 0; i < 32; ++i) {
    const float v = x[i] * inverse;
    const int cut = static_cast<int>(v);
    const float rest = v - static_cast<float>(cut);
    out.level[i] = static_cast<uint8_t>(cut + (rest >= 0.5f) - (rest <= -0.5f) + 128);
  }
}

// The value of largest magnitude becomes -8; levels are x / d + 8.5 cut off, exact before the cut.
void quantize_q4_0(const float* x, BlockParts& out) noexcept {
  const float d = largest_of<32>(x) / -8.0f;
  const double inverse = inverse_of(d);
  out.d = f16_from_f32(d);
  out.scale[0] = 1;
  for (int i = 0; i < 32; ++i)
    out.level[i] = static_cast<uint8_t>(std::min(x[i] * inverse + 8.5, 15.0));
}

// ---- least squares -------------------------------------------------------------------------

// The nearest integer within [low, high], which are small integers.
template <class T>
T level_of(T v, float low, float high) noexcept {
  const T q = smaller(larger(v, T{} + low), T{} + high);
  return (q + 12582912.0f) - 12582912.0f;
}

// Sums over elements and their levels q.
struct LevelSums {
  float q = 0, qq = 0, xq = 0;
};

// q = clamp((x + shift) * inverse, low, high)
template <int kCount>
LevelSums level_sums(const float* x, float shift, float inverse, float low, float high) noexcept {
  V q_sum = {}, qq = {}, xq = {};
  for (int i = 0; i < kCount; i += kLanes) {
    const V v = load(x + i), q = level_of((v + shift) * inverse, low, high);
    q_sum += q;
    qq += q * q;
    xq += v * q;
  }
  return {total(q_sum), total(qq), total(xq)};
}

// Squared error of scale * q - min with the best levels for them.
template <int kCount>
float squared_error(const float* x, float scale, float min, float low, float high) noexcept {
  const float inverse = inverse_of(scale);
  V error = {};
  for (int i = 0; i < kCount; i += kLanes) {
    const V v = load(x + i), q = level_of((v + min) * inverse, low, high);
    const V e = scale * q - min - v;
    error += e * e;
  }
  return total(error);
}

// A small integer within [low, high] next to v / unit.
int steps(float v, float unit, int low, int high) noexcept {
  return static_cast<int>(
      level_of(v * inverse_of(unit), static_cast<float>(low), static_cast<float>(high)));
}

uint16_t half_up_to_limit(float v) noexcept {
  return f16_from_f32(std::clamp(v, -kLargestHalf, kLargestHalf));
}

// ---- q4_k: x = scale * q - min, q in [0, 15], both at least 0 --------------------------------

struct Line {
  float scale = 0, min = 0;
};

float sum_of(const float* x) noexcept {
  V sum = {};
  for (int i = 0; i < 32; i += kLanes) sum += load(x + i);
  return total(sum);
}

// Divisors of the range that are tried as a first scale: below 15 the ends are not reached, above
// they are cut off.
constexpr float kRangeDivisors[] = {14.3f, 15.0f, 15.6f, 16.3f, 17.0f, 18.0f};

Line best_line(const float* x) noexcept {
  const Range range = range_of<32>(x);
  const float low = std::min(0.0f, range.low), high = range.high;
  const float sum = sum_of(x);
  Line best{(high - low) / 15.0f, -low};
  float best_gain = 0.0f;  // sum of x^2 less the squared error
  for (const float divisor : kRangeDivisors) {
    const float shrink = 0.5f * (high - low) * std::max(0.0f, 1.0f - 15.0f / divisor);
    Line line{(high - low) / divisor, -low - shrink};
    for (int round = 0; round < 2; ++round) {
      const LevelSums s = level_sums<32>(x, line.min, inverse_of(line.scale), 0.0f, 15.0f);
      const float spread = 32.0f * s.qq - s.q * s.q;
      if (spread <= 0.0f) break;
      line.scale = (32.0f * s.xq - s.q * sum) / spread;
      line.min = (line.scale * s.q - sum) / 32.0f;
      if (line.min < 0.0f) line = {s.xq / s.qq, 0.0f};
      const float gain = line.scale * (2.0f * s.xq - line.scale * s.qq + 2.0f * line.min * s.q) -
                         line.min * (32.0f * line.min + 2.0f * sum);
      if (gain > best_gain) {
        best_gain = gain;
        best = line;
      }
    }
  }
  return best;
}

// The integers of one part under the super-block's units: the neighbours of the rounded scale, each
// with the minimum that suits it.
void fit_part(const float* x, const Line& line, float d, float dmin, int8_t& scale,
              uint8_t& min) noexcept {
  const float sum = sum_of(x);
  const int middle = steps(line.scale, d, 0, 63);
  float best = std::numeric_limits<float>::infinity();
  for (int sc = std::max(0, middle - 1); sc <= std::min(63, middle + 1); ++sc) {
    const float s = d * static_cast<float>(sc);
    int m = steps(line.min, dmin, 0, 63);
    for (int round = 0; round < 2; ++round) {
      const float shift = dmin * static_cast<float>(m);
      const float error = squared_error<32>(x, s, shift, 0.0f, 15.0f);
      if (error < best) {
        best = error;
        scale = static_cast<int8_t>(sc);
        min = static_cast<uint8_t>(m);
      }
      const LevelSums sums = level_sums<32>(x, shift, inverse_of(s), 0.0f, 15.0f);
      const int better = steps((s * sums.q - sum) / 32.0f, dmin, 0, 63);
      if (better == m) break;
      m = better;
    }
  }
}

void quantize_q4_k(const float* x, BlockParts& out) noexcept {
  Line lines[8];
  Line largest;
  for (int part = 0; part < 8; ++part) {
    lines[part] = best_line(x + part * 32);
    largest.scale = std::max(largest.scale, lines[part].scale);
    largest.min = std::max(largest.min, lines[part].min);
  }
  out.d = half_up_to_limit(largest.scale / 63.0f);
  out.dmin = half_up_to_limit(largest.min / 63.0f);
  const float d = f32_from_f16(out.d), dmin = f32_from_f16(out.dmin);
  for (int part = 0; part < 8; ++part) {
    const float* from = x + part * 32;
    fit_part(from, lines[part], d, dmin, out.scale[part], out.min[part]);
    const float inverse = inverse_of(d * static_cast<float>(out.scale[part]));
    const float shift = dmin * static_cast<float>(out.min[part]);
    for (int i = 0; i < 32; ++i)
      out.level[part * 32 + i] =
          static_cast<uint8_t>(level_of((from[i] + shift) * inverse, 0.0f, 15.0f));
  }
}

// ---- q6_k: x = scale * q, q in [-32, 31], the scale of either sign ---------------------------

// What the value of largest magnitude may become, besides -32.
constexpr float kEndLevels[] = {-33.0f, -32.0f, -31.5f, -31.0f, -30.5f, -30.0f, 31.0f};

float best_scale(const float* x) noexcept {
  const float end = largest_of<16>(x);
  float best = 0.0f, best_gain = 0.0f;
  for (const float level : kEndLevels) {
    const LevelSums s = level_sums<16>(x, 0.0f, inverse_of(end / level), -32.0f, 31.0f);
    if (s.qq <= 0.0f) continue;
    const float scale = s.xq / s.qq, gain = scale * s.xq;
    if (gain > best_gain) {
      best_gain = gain;
      best = scale;
    }
  }
  return best;
}

void quantize_q6_k(const float* x, BlockParts& out) noexcept {
  float scales[16];
  for (int part = 0; part < 16; ++part) scales[part] = best_scale(x + part * 16);
  out.d = half_up_to_limit(largest_of<16>(scales) / -128.0f);
  const float d = f32_from_f16(out.d);
  for (int part = 0; part < 16; ++part) {
    const float* from = x + part * 16;
    const int middle = steps(scales[part], d, -128, 127);
    float best = std::numeric_limits<float>::infinity();
    for (int sc = std::max(-128, middle - 1); sc <= std::min(127, middle + 1); ++sc) {
      const float error = squared_error<16>(from, d * static_cast<float>(sc), 0.0f, -32.0f, 31.0f);
      if (error < best) {
        best = error;
        out.scale[part] = static_cast<int8_t>(sc);
      }
    }
    const float inverse = inverse_of(d * static_cast<float>(out.scale[part]));
    for (int i = 0; i < 16; ++i)
      out.level[part * 16 + i] =
          static_cast<uint8_t>(level_of(from[i] * inverse, -32.0f, 31.0f) + 32.0f);
  }
}

}  // namespace

void quantize_block(DType type, const float* in, BlockParts& out) noexcept {
  KRAIT_CHECK(has_block_parts(type));
  switch (type) {
    case DType::q8_0: return quantize_q8_0(in, out);
    case DType::q4_0: return quantize_q4_0(in, out);
    case DType::q4_k: return quantize_q4_k(in, out);
    default: return quantize_q6_k(in, out);
  }
}

void quantize_block(DType type, const float* in, std::byte* out) noexcept {
  BlockParts parts;
  quantize_block(type, in, parts);
  join_block(type, parts, out);
}

float block_type_limit(DType type) noexcept {
  KRAIT_CHECK(has_block_parts(type));
  switch (type) {
    case DType::q8_0: return 127.0f * kLargestHalf;
    case DType::q4_0: return 8.0f * kLargestHalf;
    case DType::q4_k: return 63.0f * kLargestHalf;  // the smallest of them is a minimum alone
    default: return 31.0f * 128.0f * kLargestHalf;
  }
}

}  // namespace krait
