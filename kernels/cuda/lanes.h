// How the scans share the states of a channel between lanes of a warp. Of d_state states, lane part
// p of `parts` holds p q to p q + q - 1 with q = ceil(d_state / parts): their sum is a chain in
// each part, then the parts are added in the order of sum_lanes<parts>. The lanes of a part lie
// side by side (channels), the parts further apart.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace krait::cuda {

// Sums v[i] over the parts, whose lanes are `apart` from each other: in the same order as
// sum_lanes<parts>, but part p gets only the sums i with i % parts == p, in v[i / parts].
template <int parts, int apart, int count>
KRAIT_DEVICE void scatter_sums(float (&v)[count]) {
  static_assert(count % parts == 0);
  KRAIT_UNROLL
  for (int bit = 1; bit < parts; bit *= 2) {
    const bool odd = (lane_index() / apart & bit) != 0;
    KRAIT_UNROLL
    for (int i = 0; i < count / (2 * bit); ++i) {
      const float kept = odd ? v[2 * i + 1] : v[2 * i], sent = odd ? v[2 * i] : v[2 * i + 1];
      v[i] = kept + shuffle_xor(sent, bit * apart);
    }
  }
}

// As sum_lanes<parts> over lanes that are `apart` from each other.
template <int parts, int apart>
KRAIT_DEVICE float sum_parts(float value) {
  KRAIT_UNROLL
  for (int mask = apart; mask < parts * apart; mask *= 2) value += shuffle_xor(value, mask);
  return value;
}

// B and C of a tile of tokens on their way through a block's shared memory. A lane reads its
// kStates states (a multiple of four; the ones beyond its q are 0) four at a time, and the parts'
// fours lie side by side.
template <int parts, int kStates, int kTile, int kThreads>
struct Inputs {
  static constexpr int kRow = parts * kStates;
  static constexpr int kFloats = 2 * kTile * kRow;
  static constexpr int kEach = kFloats / kThreads;
  static_assert(kStates % 4 == 0 && kFloats % kThreads == 0);
  float carried[kEach];

  // From `row` on, `count` tokens.
  KRAIT_DEVICE void fetch(const Rows& b, const Rows& c, int64_t row, int count, int d_state) {
    const int q = (d_state + parts - 1) / parts;
    KRAIT_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const int at = thread_index() + k * kThreads, place = at % kRow, token = at / (2 * kRow);
      const int in_part = place / (4 * parts) * 4 + place % 4;
      const int state = place / 4 % parts * q + in_part;
      const Rows& from = at / kRow % 2 == 0 ? b : c;
      carried[k] = token < count && in_part < q && state < d_state
                       ? from.data[(row + token) * from.stride + state]
                       : 0.0f;
    }
  }
  KRAIT_DEVICE void put(float* shared) const {
    KRAIT_UNROLL
    for (int k = 0; k < kEach; ++k) shared[thread_index() + k * kThreads] = carried[k];
  }
  // States four * 4 to + 3 of a part.
  static KRAIT_DEVICE Float4 b(const float* shared, int token, int part, int four) {
    return load4(shared + token * 2 * kRow + (four * parts + part) * 4);
  }
  static KRAIT_DEVICE Float4 c(const float* shared, int token, int part, int four) {
    return load4(shared + (token * 2 + 1) * kRow + (four * parts + part) * 4);
  }
};

}  // namespace krait::cuda
