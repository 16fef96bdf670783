// The vector layer without vector instructions: included by simd.h inside its namespace.

inline constexpr int kTokenBlock = 2;

struct F {
  float v[kLanes];
};
struct I {
  int32_t v[kLanes];
};

template <class Op>
KRAIT_INLINE F lanewise(Op op) {
  F r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = op(i);
  return r;
}

KRAIT_INLINE F set1(float x) {
  return lanewise([=](int) { return x; });
}
KRAIT_INLINE F zero() { return set1(0.0f); }
KRAIT_INLINE F load(const float* p) {
  F r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
KRAIT_INLINE void store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
KRAIT_INLINE F load_first(const float* p, int64_t n) {
  F r = zero();
  std::memcpy(r.v, p, static_cast<size_t>(n) * sizeof(float));
  return r;
}
KRAIT_INLINE void store_first(float* p, F a, int64_t n) {
  std::memcpy(p, a.v, static_cast<size_t>(n) * sizeof(float));
}
KRAIT_INLINE F add(F a, F b) {
  return lanewise([&](int i) { return a.v[i] + b.v[i]; });
}
KRAIT_INLINE F sub(F a, F b) {
  return lanewise([&](int i) { return a.v[i] - b.v[i]; });
}
KRAIT_INLINE F mul(F a, F b) {
  return lanewise([&](int i) { return a.v[i] * b.v[i]; });
}
KRAIT_INLINE F div(F a, F b) {
  return lanewise([&](int i) { return a.v[i] / b.v[i]; });
}
KRAIT_INLINE F fma(F a, F b, F c) {
  return lanewise([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
KRAIT_INLINE F min(F a, F b) {
  return lanewise([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
KRAIT_INLINE F max(F a, F b) {
  return lanewise([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
KRAIT_INLINE F floor(F a) {
  return lanewise([&](int i) { return __builtin_floorf(a.v[i]); });
}
KRAIT_INLINE F abs(F a) {
  return lanewise([&](int i) { return __builtin_fabsf(a.v[i]); });
}
KRAIT_INLINE F select_greater(F x, F y, F a, F b) {
  return lanewise([&](int i) { return x.v[i] > y.v[i] ? a.v[i] : b.v[i]; });
}
KRAIT_INLINE float power_of_two(int32_t n) { return float_of_bits((n + 127) << 23); }
KRAIT_INLINE F scale_by_power(F a, F n) {
  return lanewise([&](int i) {
    if (!(n.v[i] >= -252.0f && n.v[i] <= 254.0f)) return a.v[i];  // NaN passes through
    const int32_t exponent = static_cast<int32_t>(n.v[i]);
    const int32_t first = exponent >> 1;
    return a.v[i] * power_of_two(first) * power_of_two(exponent - first);
  });
}

KRAIT_INLINE F load_f16(const uint16_t* p) {
  return lanewise([&](int i) {
    const uint32_t sign = static_cast<uint32_t>(p[i] & 0x8000u) << 16;
    const uint32_t magnitude = static_cast<uint32_t>(p[i] & 0x7fffu) << 13;
    if (magnitude >= 0x1fu << 23) return float_of_bits(sign | 0x7f800000u | magnitude);
    // Rebias the exponent by a product, which also makes subnormal halves right.
    return float_of_bits(sign | 0u) + float_of_bits(sign | magnitude) * 0x1p112f;
  });
}

KRAIT_INLINE I set1(int32_t x) {
  I r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = x;
  return r;
}
KRAIT_INLINE I load_bytes(const uint8_t* p) {
  I r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
KRAIT_INLINE I operator|(I a, I b) {
  for (int i = 0; i < kLanes; ++i) a.v[i] |= b.v[i];
  return a;
}
template <int kRight>
KRAIT_INLINE I bits(I a, int mask) {
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t four = static_cast<uint32_t>(a.v[i]);
    const uint32_t moved = kRight > 0 ? four >> kRight : four << -kRight;
    a.v[i] = static_cast<int32_t>(moved & static_cast<uint32_t>(mask) * 0x01010101u);
  }
  return a;
}
KRAIT_INLINE I dot4(I acc, I w, I x) {
  for (int i = 0; i < kLanes; ++i) {
    uint8_t weights[4];
    int8_t bytes[4];
    std::memcpy(weights, &w.v[i], sizeof weights);
    std::memcpy(bytes, &x.v[i], sizeof bytes);
    for (int j = 0; j < 4; ++j) acc.v[i] += static_cast<int32_t>(weights[j]) * bytes[j];
  }
  return acc;
}
KRAIT_INLINE I dot4_small(I acc, I w, I x) { return dot4(acc, w, x); }
KRAIT_INLINE F first_bf16(I a) {
  return lanewise([&](int i) { return float_of_bits(static_cast<uint32_t>(a.v[i]) << 16); });
}
KRAIT_INLINE F second_bf16(I a) {
  return lanewise(
      [&](int i) { return float_of_bits(static_cast<uint32_t>(a.v[i]) & 0xffff0000u); });
}
KRAIT_INLINE F load_u8(const uint8_t* p) {
  return lanewise([&](int i) { return static_cast<float>(p[i]); });
}
KRAIT_INLINE F load_i8(const uint8_t* p) {
  return lanewise([&](int i) { return static_cast<float>(static_cast<int8_t>(p[i])); });
}
KRAIT_INLINE F to_float(I a) {
  return lanewise([&](int i) { return static_cast<float>(a.v[i]); });
}

KRAIT_INLINE float sum(F a) {
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) a.v[i] += a.v[i + step];
  return a.v[0];
}
KRAIT_INLINE float max_magnitude(F a, F b) {
  int32_t most = 0;
  for (int i = 0; i < kLanes; ++i) {
    const float abs_a = __builtin_fabsf(a.v[i]), abs_b = __builtin_fabsf(b.v[i]);
    int32_t bits_a, bits_b;
    std::memcpy(&bits_a, &abs_a, sizeof bits_a);
    std::memcpy(&bits_b, &abs_b, sizeof bits_b);
    most = bits_a > most ? bits_a : most;
    most = bits_b > most ? bits_b : most;
  }
  return float_of_bits(most);
}
KRAIT_INLINE void store_int8(int8_t* p, F a) {
  // Adding and taking away 1.5 * 2^23 leaves no fraction bits.
  for (int i = 0; i < kLanes; ++i)
    p[i] = static_cast<int8_t>((a.v[i] + 12582912.0f) - 12582912.0f);
}
KRAIT_INLINE void store_bf16(uint16_t* p, F a) {
  for (int i = 0; i < kLanes; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &a.v[i], sizeof bits);
    bits = a.v[i] == a.v[i] ? bits + 0x7fffu + (bits >> 16 & 1u) : bits | 0x400000u;
    p[i] = static_cast<uint16_t>(bits >> 16);
  }
}
