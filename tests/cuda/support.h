// What the tests of the CUDA kernels share: the twin with errors kept, rows and states in the
// memory of the test, and sequences that are fed in many ways.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/reference/reference.h"
#include "tests/kernels/scan_data.h"

namespace krait::cuda {

using test::doubles, test::Random, test::relative_error, test::transpose;

// Every test ends without an error of the twin.
class KernelTest : public testing::Test {
 protected:
  KernelTest() { use_seed(1); }
  ~KernelTest() override {
    EXPECT_EQ(twin::take_error(), "");
    twin::set_options({});
  }
  // Another order of threads.
  static void use_seed(uint64_t seed) {
    twin::Options options;
    options.seed = seed;
    options.keep_errors = true;
    twin::set_options(options);
  }
};

// `rows` rows of `cols`, `gap` floats between them and `offset` before; the gaps are NaN, so that
// reading them shows.
struct TestRows {
  TestRows(const std::vector<float>& values, int64_t rows, int64_t cols, int64_t gap = 0,
           int64_t offset = 0)
      : count(rows), width(cols), first(4 + offset), storage(first + rows * (cols + gap) + 4, NAN) {
    // Memory comes aligned to 16 bytes, so `offset` says how the rows lie to that.
    view = {storage.data() + first, cols + gap};
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        view.data[r * view.stride + c] = values.empty() ? 0.0f : values[r * cols + c];
  }
  TestRows(const TestRows&) = delete;
  TestRows& operator=(const TestRows&) = delete;

  std::vector<float> values() const {
    std::vector<float> out;
    for (int64_t r = 0; r < count; ++r)
      out.insert(out.end(), view.data + r * view.stride, view.data + r * view.stride + width);
    return out;
  }
  bool gaps_untouched() const {
    for (int64_t i = 0; i < static_cast<int64_t>(storage.size()); ++i) {
      const int64_t at = i - first;
      const bool in_row = at >= 0 && at / view.stride < count && at % view.stride < width;
      if (!in_row && !std::isnan(storage[i])) return false;
    }
    return true;
  }

  int64_t count, width, first;
  std::vector<float> storage;
  Rows view;
};

// Calls that feed a sequence in pieces of `piece` tokens.
inline std::vector<std::vector<Segment>> pieces_of(int64_t tokens, int64_t piece) {
  std::vector<std::vector<Segment>> calls;
  for (int64_t t = 0; t < tokens; t += piece)
    calls.push_back(
        {{0, static_cast<int32_t>(t), static_cast<int32_t>(std::min(piece, tokens - t))}});
  return calls;
}

inline Segments segments_of(const std::vector<Segment>& list) {
  Segments segments{list.data(), static_cast<int32_t>(list.size()), 0};
  for (const Segment& s : list) segments.tokens += s.length;
  return segments;
}

// Sequences of the given lengths packed one after another, in slots in another order.
inline std::vector<Segment> packed(const std::vector<int32_t>& lengths) {
  std::vector<Segment> list;
  const auto count = static_cast<int32_t>(lengths.size());
  int32_t begin = 0;
  for (int32_t i = 0; i < count; ++i) {
    list.push_back({count - 1 - i, begin, lengths[i]});
    begin += lengths[i];
  }
  return list;
}

// The outputs of all tokens and the states of all slots.
struct Result {
  std::vector<float> y, states;
  bool operator==(const Result&) const = default;
};

}  // namespace krait::cuda
