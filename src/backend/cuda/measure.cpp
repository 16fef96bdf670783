#include "src/backend/cuda/measure.h"

#include <algorithm>

#include "kernels/cuda/measure.h"
#include "src/backend/cuda/memory.h"
#include "src/backend/cuda/runtime.h"

namespace krait::cuda {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;  // well beyond any cache
constexpr int kPasses = 8;

// Milliseconds that the kernels take which `start` queues.
template <class Start>
double time_ms(Stream stream, Start start) {
  const Event begin = make_event(), end = make_event();
  record(stream, begin);
  start();
  record(stream, end);
  wait(end);
  return elapsed_ms(begin, end);
}

}  // namespace

double measure_bandwidth(Stream stream) {
  const int64_t unit = int64_t{1} << 20;
  int64_t bytes = std::clamp(memory_info().free_bytes / 16 / unit * unit, unit, kMostBytes);
  const DeviceMemory memory = require_device(bytes, "measuring the read bandwidth");
  const DeviceMemory sink = require_device(sizeof(uint32_t), "measuring the read bandwidth");
  fill_zeros(stream, memory.get(), bytes);
  double best = 0;
  for (int pass = 0; pass <= kPasses; ++pass) {
    const double ms = time_ms(stream, [&] {
      read_all(stream, memory.get(), bytes, multiprocessors(),
               reinterpret_cast<uint32_t*>(sink.get()));
    });
    if (pass > 0) best = std::max(best, static_cast<double>(bytes) / ms * 1e3);
  }
  return best;
}

double measure_multiply_adds(Stream stream) {
  constexpr double kLeastMs = 5;
  const DeviceMemory sink = require_device(sizeof(float), "measuring the arithmetic");
  double best = 0;
  int32_t rounds = 16;
  for (int pass = 0; pass < kPasses;) {
    const int64_t count = multiply_adds(multiprocessors(), rounds);
    const double ms = time_ms(stream, [&] {
      multiply_add_rounds(stream, multiprocessors(), rounds, reinterpret_cast<float*>(sink.get()));
    });
    if (ms < kLeastMs) {
      rounds *= 2;
      continue;
    }
    best = std::max(best, static_cast<double>(count) / ms * 1e3);
    ++pass;
  }
  return best;
}

}  // namespace krait::cuda
