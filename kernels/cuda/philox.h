// The generator of src/sampling/philox.h on the device.
#pragma once

#include "kernels/cuda/device.h"

namespace krait::cuda {

// Philox4x32-10 (Salmon et al., SC 2011), the first 53 bits as a number in [0, 1).
KRAIT_DEVICE double uniform_at(uint64_t seed, uint64_t sequence, uint64_t position) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  uint32_t counter[4] = {low(position), high(position), low(sequence), high(sequence)};
  uint32_t key[2] = {low(seed), high(seed)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter[0] = high(product1) ^ counter[1] ^ key[0];
    counter[1] = low(product1);
    counter[2] = high(product0) ^ counter[3] ^ key[1];
    counter[3] = low(product0);
    key[0] += 0x9E3779B9;  // golden ratio
    key[1] += 0xBB67AE85;  // sqrt(3) - 1
  }
  const uint64_t bits = uint64_t{counter[1]} << 32 | counter[0];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace krait::cuda
