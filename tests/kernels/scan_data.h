// Random inputs of the scans, for the tests of backends and of kernels.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/support.h"

namespace krait::test {

// [rows, cols] -> [cols, rows]
template <class T>
std::vector<T> transpose(const std::vector<T>& from, int64_t rows, int64_t cols) {
  std::vector<T> to(from.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) to[c * rows + r] = from[r * cols + c];
  return to;
}

struct ScanData {
  int64_t d_inner, d_state, tokens;
  std::vector<float> a, d, dt_bias, state, x, dt, b, c, z;

  ScanData(int64_t inner, int64_t states, int64_t count, uint64_t seed)
      : d_inner(inner), d_state(states), tokens(count) {
    Random random(seed);
    a = random.values(inner * states, -16.0f, -0.01f);
    d = random.values(inner);
    dt_bias = random.values(inner, -5.0f, 1.0f);
    dt_bias[0] = 30.0f;           // beyond softplus' threshold
    dt_bias[inner - 1] = -25.0f;  // a step of 1e-11
    state = random.values(inner * states);
    x = random.values(count * inner, -2, 2);
    dt = random.values(count * inner, -2, 2);
    b = random.values(count * states);
    c = random.values(count * states);
    z = random.values(count * inner, -4, 4);
  }
  reference::ScanInput input() const {
    return {doubles(a), doubles(d), doubles(dt_bias), doubles(x), doubles(dt),
            doubles(b), doubles(c), doubles(z),       d_inner,    d_state};
  }
};

struct SsdSizes {
  int64_t heads, head_dim, groups, states;
};

struct SsdData {
  SsdSizes size;
  int64_t tokens;
  float dt_min = 0.0f, dt_max = std::numeric_limits<float>::infinity();
  std::vector<float> a, d, dt_bias, state, x, dt, b, c;  // state [heads, head_dim, states]

  SsdData(SsdSizes s, int64_t count, uint64_t seed) : size(s), tokens(count) {
    Random random(seed);
    const int64_t inner = s.heads * s.head_dim;
    a = random.values(s.heads, -16.0f, -0.01f);
    d = random.values(inner);
    dt_bias = random.values(s.heads, -5.0f, 1.0f);
    state = random.values(inner * s.states);
    x = random.values(count * inner, -2, 2);
    dt = random.values(count * s.heads, -2, 2);
    b = random.values(count * s.groups * s.states);
    c = random.values(count * s.groups * s.states);
  }
  reference::SsdInput input() const {
    return {doubles(a), doubles(d), doubles(dt_bias), doubles(x),  doubles(dt), doubles(b),
            doubles(c), size.heads, size.head_dim,    size.groups, size.states, dt_min,
            dt_max};
  }
};

// [heads, head_dim, states] <-> the plane [heads * states, head_dim]
template <class T>
std::vector<T> plane(const std::vector<T>& state, const SsdSizes& s) {
  std::vector<T> out(state.size());
  for (int64_t e = 0; e < s.heads; ++e)
    for (int64_t p = 0; p < s.head_dim; ++p)
      for (int64_t n = 0; n < s.states; ++n)
        out[(e * s.states + n) * s.head_dim + p] = state[(e * s.head_dim + p) * s.states + n];
  return out;
}

}  // namespace krait::test
