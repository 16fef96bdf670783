#include "src/backend/cpu/peak.h"

#include <algorithm>
#include <chrono>

namespace krait {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPasses = 8;
constexpr double kPassSeconds = 5e-3;
constexpr int64_t kPartsPerThread = 32;  // small ones even out a thread that is interrupted

double seconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double measure_peak(const cpu::Kernels& kernels, ThreadPool& pool, bool bytes) {
  const auto kernel = bytes ? kernels.peak_int8 : kernels.peak_float;
  const int64_t parts = kPartsPerThread * pool.size();
  const auto pass = [&](int64_t iterations) {
    const auto start = Clock::now();
    pool.split(parts, parts, [&](int64_t first, int64_t last) {
      float sink[16] = {};
      for (int64_t part = first; part < last; ++part) kernel(iterations, sink);
    });
    return seconds(start);
  };
  int64_t iterations = 1;
  while (pass(iterations) < kPassSeconds) iterations *= 2;
  double best = pass(iterations);
  for (int i = 1; i < kPasses; ++i) best = std::min(best, pass(iterations));
  const int64_t each = bytes ? cpu::kPeakInt8MultiplyAdds : cpu::kPeakFloatMultiplyAdds;
  return static_cast<double>(each * iterations * parts) / best;
}

}  // namespace krait
