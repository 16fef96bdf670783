#include "src/backend/cpu/peak.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "src/base/clock.h"
#include "src/base/run_threads.h"

namespace krait {
namespace {

constexpr double kSeconds = 40e-3;
constexpr double kPieceSeconds = 50e-6;  // well below a time slice
constexpr int kLeastPieces = 40;

// Iterations per second of this thread while it runs: the median piece was not interrupted.
double iterations_per_second(void (*kernel)(int64_t, float*) noexcept) {
  float sink[16] = {};
  const auto piece = [&](int64_t iterations) {
    const Stopwatch watch;
    kernel(iterations, sink);
    return watch.ms() * 1e-3;
  };
  int64_t iterations = 1;
  while (piece(iterations) < kPieceSeconds) iterations *= 2;
  std::vector<double> seconds;
  const Stopwatch watch;
  while (watch.ms() * 1e-3 < kSeconds || std::ssize(seconds) < kLeastPieces)
    seconds.push_back(piece(iterations));
  const auto middle = seconds.begin() + std::ssize(seconds) / 2;
  std::nth_element(seconds.begin(), middle, seconds.end());
  return static_cast<double>(iterations) / *middle;
}

}  // namespace

double measure_peak(const cpu::Kernels& kernels, int32_t threads, Arithmetic arithmetic) {
  auto kernel = kernels.peak_float;
  int64_t multiply_adds = cpu::kPeakFloatMultiplyAdds;
  if (arithmetic == Arithmetic::int8) {
    kernel = kernels.peak_int8;
    multiply_adds = cpu::kPeakInt8MultiplyAdds;
  } else if (arithmetic == Arithmetic::bf16 && kernels.peak_bf16) {
    kernel = kernels.peak_bf16;
    multiply_adds = cpu::kPeakBf16MultiplyAdds;
  }
  std::vector<double> speeds(static_cast<size_t>(threads));
  const auto work = [&](int32_t thread) { speeds[thread] = iterations_per_second(kernel); };
  run_threads(threads, work);
  return static_cast<double>(multiply_adds) * std::accumulate(speeds.begin(), speeds.end(), 0.0);
}

}  // namespace krait
