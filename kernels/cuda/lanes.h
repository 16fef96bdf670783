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

// B and C on their way through a block's shared memory, a tile of tokens at a time. A lane reads
// its kStates states (a multiple of four; those beyond its q are 0) four at a time, and the parts'
// fours lie side by side.
template <int parts, int kStates, int kTile, int kThreads>
struct Inputs {
  static constexpr int kRow = parts * kStates;  // floats of a token's B or C
  static constexpr int kFloats = 2 * kTile * kRow;
  // A thread carries some places of some tokens' rows.
  static constexpr int kPlaces = kRow > kThreads ? kRow / kThreads : 1;
  static constexpr int kTokenStep = kRow > kThreads ? 1 : kThreads / kRow;
  static constexpr int kTokens = kTile / kTokenStep;
  static_assert(kStates % 4 == 0 && kTile % kTokenStep == 0);

  const float *b, *c;  // the next tile, at this thread's first token
  int64_t b_stride, c_stride;
  int state[kPlaces];  // or -1
  float carried[2][kTokens][kPlaces];

  static KRAIT_DEVICE int first_token() { return thread_index() / kRow; }
  static KRAIT_DEVICE int place(int p) { return thread_index() % kRow + p * kThreads; }

  KRAIT_DEVICE void begin(const Rows& b_rows, const Rows& c_rows, int64_t row, int d_state) {
    b_stride = b_rows.stride;
    c_stride = c_rows.stride;
    b = b_rows.data + (row + first_token()) * b_stride;
    c = c_rows.data + (row + first_token()) * c_stride;
    const int q = (d_state + parts - 1) / parts;
    KRAIT_UNROLL
    for (int p = 0; p < kPlaces; ++p) {
      const int in_part = place(p) / (4 * parts) * 4 + place(p) % 4;
      const int n = place(p) / 4 % parts * q + in_part;
      state[p] = in_part < q && n < d_state ? n : -1;
    }
  }
  // Every place of a row has a state.
  static KRAIT_DEVICE bool exact(int d_state) { return d_state == kRow; }
  // The next tile: `count` tokens or, with kWhole, all and of exact(d_state).
  template <bool kWhole>
  KRAIT_DEVICE void fetch(int count) {
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const bool there = first_token() + t * kTokenStep < count;
      KRAIT_UNROLL
      for (int p = 0; p < kPlaces; ++p) {
        const bool read = kWhole || (there && state[p] >= 0);
        carried[0][t][p] = read ? b[t * kTokenStep * b_stride + state[p]] : 0.0f;
        carried[1][t][p] = read ? c[t * kTokenStep * c_stride + state[p]] : 0.0f;
      }
    }
    b += kTile * b_stride;
    c += kTile * c_stride;
  }
  KRAIT_DEVICE void put(float* shared) const {
    KRAIT_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      float* row = shared + (first_token() + t * kTokenStep) * 2 * kRow;
      KRAIT_UNROLL
      for (int p = 0; p < kPlaces; ++p) {
        row[place(p)] = carried[0][t][p];
        row[kRow + place(p)] = carried[1][t][p];
      }
    }
  }
  // States 4 four to + 3 of a part.
  static KRAIT_DEVICE Float4 b_of(const float* shared, int token, int part, int four) {
    return load4(shared + token * 2 * kRow + (four * parts + part) * 4);
  }
  static KRAIT_DEVICE Float4 c_of(const float* shared, int token, int part, int four) {
    return load4(shared + (token * 2 + 1) * kRow + (four * parts + part) * 4);
  }
};

}  // namespace krait::cuda
