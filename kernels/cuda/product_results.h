// From the sums that the lanes of a warp hold as mma_bf16 has them to rows of results: step 4 of
// product_order.h.
#pragma once

#include "kernels/cuda/kernels.h"

namespace krait::cuda {

// out (+)= sum (+ bias), where a token has `Columns` columns.
template <int Columns>
struct ResultWriter {
  const float* bias = nullptr;
  Rows out;
  bool accumulate = false;
  int32_t rows = 0, tokens = 0;

  static constexpr int kEach = Columns == 1 ? 2 : 1;  // results of two neighbouring columns

  template <int Tiles>
  struct Results {
    float of[Tiles][2][kEach];

    // Calls with the distance from the lane's first token, the half of the rows, and the result.
    template <class Function>
    KRAIT_DEVICE void for_each(const Function& function) {
      KRAIT_UNROLL
      for (int c = 0; c < Tiles; ++c) {
        KRAIT_UNROLL
        for (int half = 0; half < 2; ++half) {
          KRAIT_UNROLL
          for (int n = 0; n < kEach; ++n) function(c * 8 / Columns + n, half, of[c][half][n]);
        }
      }
    }
  };

  // The sums of one row tile. `first_row` and `first_column` are the warp's.
  template <int Tiles>
  KRAIT_DEVICE void put(const float (&sums)[Tiles][4], int64_t first_row,
                        int64_t first_column) const {
    Results<Tiles> results;
    add_columns(sums, results);
    const bool whole =
        first_row + kTileRows <= rows && first_column + Tiles * 8 <= int64_t{tokens} * Columns;
    if (whole)
      write<true>(results, first_row, first_column);
    else
      write<false>(results, first_row, first_column);
  }

  // Whole: all rows and tokens exist.
  template <bool Whole, int Tiles>
  KRAIT_DEVICE void write(Results<Tiles>& results, int64_t first_row, int64_t first_column) const {
    const int lane = lane_index();
    const int64_t row = first_row + lane / 4;
    const int64_t token = (first_column + lane % 4 * 2) / Columns;
    float* at = out.data + token * out.stride + row;
    const bool writes = Columns < 4 || lane % 2 == 0;
    const auto inside = [&](int t, int half) {
      return writes && (Whole || (token + t < tokens && row + half * 8 < rows));
    };
    if (bias) {
      const float values[2] = {row < rows ? bias[row] : 0.0f,
                               row + 8 < rows ? bias[row + 8] : 0.0f};
      results.for_each([&](int, int half, float& result) { result += values[half]; });
    }
    if (accumulate) {  // all loads before the first store, so that they overlap
      Results<Tiles> old;
      old.for_each([&](int t, int half, float& value) {
        value = inside(t, half) ? at[t * out.stride + half * 8] : 0.0f;
      });
      add(old, results);
    }
    results.for_each([&](int t, int half, float result) {
      if (inside(t, half)) at[t * out.stride + half * 8] = result;
    });
  }

  template <int Tiles>
  KRAIT_DEVICE static void add_columns(const float (&sums)[Tiles][4], Results<Tiles>& results) {
    KRAIT_UNROLL
    for (int c = 0; c < Tiles; ++c) {
      KRAIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float low = sums[c][2 * half], high = sums[c][2 * half + 1];
        if constexpr (Columns == 1) {
          results.of[c][half][0] = low;
          results.of[c][half][1] = high;
        } else if constexpr (Columns == 2) {
          results.of[c][half][0] = low + high;
        } else {
          const float pair = low + high;
          results.of[c][half][0] = pair + shuffle_xor(pair, 1);
        }
      }
    }
  }

  template <int Tiles>
  KRAIT_DEVICE static void add(const Results<Tiles>& old, Results<Tiles>& results) {
    KRAIT_UNROLL
    for (int c = 0; c < Tiles; ++c) {
      KRAIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        KRAIT_UNROLL
        for (int n = 0; n < kEach; ++n)
          results.of[c][half][n] = old.of[c][half][n] + results.of[c][half][n];
      }
    }
  }
};

}  // namespace krait::cuda
