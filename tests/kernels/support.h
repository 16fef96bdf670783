// Random inputs and tolerances for kernel tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "src/backend/cpu/isa.h"

namespace krait::test {

// Uniform in [low, high), the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  float operator()(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * static_cast<float>(state_ >> 40) * 0x1p-24f;
  }
  std::vector<float> values(int64_t count, float low = -1.0f, float high = 1.0f) {
    std::vector<float> out(count);
    for (float& v : out) v = (*this)(low, high);
    return out;
  }

 private:
  uint64_t state_;
};

inline std::vector<double> doubles(const std::vector<float>& v) { return {v.begin(), v.end()}; }

// Largest |a - b|, relative to the largest |b|.
inline double relative_error(const std::vector<float>& a, const std::vector<double>& b) {
  double largest = 1e-30, error = a.size() == b.size() ? 0.0 : 1e9;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    largest = std::max(largest, std::fabs(b[i]));
    error = std::max(error, std::isnan(a[i]) ? 1e9 : std::fabs(a[i] - b[i]));
  }
  return error / largest;
}

}  // namespace krait::test
