// Segments cut into runs of a fixed number of tokens, so that blocks share a long segment.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace krait::cuda {

struct Run {
  Segment segment;
  int32_t first = 0;  // tokens of the segment before the run
  int32_t length = 0;
  int32_t cut = -1;  // the run's number among those of segments of more than one run; or -1
  bool found = false;
};

// Bounds that need no look at the segments: all runs, and those of segments of more than one.
constexpr int64_t most_runs(int64_t segments, int64_t tokens, int64_t run_length) noexcept {
  return (tokens + segments * (run_length - 1)) / run_length;
}
constexpr int64_t most_cut_runs(int64_t tokens, int64_t run_length) noexcept {
  return 2 * tokens / (run_length + 1);
}

// Of the lanes up to this one.
KRAIT_DEVICE uint32_t prefix_sum(uint32_t value) {
  const int lane = lane_index();
  KRAIT_UNROLL
  for (int step = 1; step < kWarp; step *= 2) {
    const uint32_t before = shuffle(value, lane < step ? lane : lane - step);
    if (lane >= step) value += before;
  }
  return value;
}

// Run `index` of all, or with `cut` of those of segments of more than one run. Called by whole
// warps, each finding the same.
KRAIT_DEVICE Run find_run(const Segments& segments, int32_t run_length, int32_t index, bool cut) {
  const auto wanted = static_cast<uint32_t>(index);
  uint32_t runs_before = 0, cut_before = 0;
  for (int32_t base = 0; base < segments.count; base += kWarp) {
    const int32_t at = base + lane_index();
    Segment own;
    if (at < segments.count) own = segments.list[at];
    const auto runs = static_cast<uint32_t>((own.length + run_length - 1) / run_length);
    const uint32_t cut_runs = runs > 1 ? runs : 0;
    const uint32_t runs_end = runs_before + prefix_sum(runs);
    const uint32_t cut_end = cut_before + prefix_sum(cut_runs);
    const uint32_t end = cut ? cut_end : runs_end, size = cut ? cut_runs : runs;
    // The lane whose segment it is, plus one; no other lane has a bit set.
    uint32_t owner = wanted < end && wanted >= end - size ? lane_index() + 1u : 0u;
    KRAIT_UNROLL
    for (int mask = 1; mask < kWarp; mask *= 2) owner |= shuffle_xor(owner, mask);
    if (owner > 0) {
      const int lane = static_cast<int>(owner) - 1;
      const auto of_owner = [&](int32_t value) {
        return static_cast<int32_t>(shuffle(static_cast<uint32_t>(value), lane));
      };
      Run run;
      run.segment = {of_owner(own.slot), of_owner(own.begin), of_owner(own.length)};
      const int32_t nth = of_owner(static_cast<int32_t>(wanted - (end - size)));
      const int32_t first_cut = of_owner(static_cast<int32_t>(cut_end - cut_runs));
      run.first = nth * run_length;
      run.length = static_cast<int32_t>(at_most(run_length, run.segment.length - run.first));
      if (run.segment.length > run_length) run.cut = first_cut + nth;
      run.found = true;
      return run;
    }
    runs_before = shuffle(runs_end, kWarp - 1);
    cut_before = shuffle(cut_end, kWarp - 1);
  }
  return {};
}

}  // namespace krait::cuda
