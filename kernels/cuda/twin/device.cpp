// The functions of device.h that threads meet in, or that move memory.
#include <cstring>

#include "kernels/cuda/twin/machine.h"

namespace krait::cuda {

namespace twin {
namespace {

// All lanes of the warp meet; the last one calls complete(operands), with those of all 32.
template <class Operand, class Complete>
void meet(State what, Site site, Operand& mine, const Complete& complete) {
  Machine& m = machine();
  if (!m.arrive(what, site, &mine)) return;
  complete([&m](int lane) -> Operand& { return *static_cast<Operand*>(m.warp().operands[lane]); });
  m.release_warp();
}

template <class T>
struct Exchange {
  T value;
  T result;
  int from;
};

template <class T>
T exchange(State what, T value, int from, Site site) {
  Exchange<T> mine{value, value, from};
  meet(what, site, mine, [](const auto& operand) {
    for (int lane = 0; lane < kWarp; ++lane)
      operand(lane).result = operand(operand(lane).from).value;
  });
  return mine.result;
}

int checked_lane(int lane, const char* name, Site site) {
  if (lane < 0 || lane >= kWarp)
    machine().fail(std::string(name) + " of " + std::to_string(lane) + ": expected 0 to 31", site);
  return lane;
}

template <class T>
T shuffle_xor(T value, int mask, Site site) {
  return exchange(State::shuffle_xor, value,
                  lane_index() ^ checked_lane(mask, "shuffle_xor: a mask", site), site);
}

template <class T>
T shuffle(T value, int from_lane, Site site) {
  return exchange(State::shuffle, value, checked_lane(from_lane, "shuffle: a lane", site), site);
}

std::string text_of(const void* address) {
  return std::to_string(reinterpret_cast<uintptr_t>(address) % 16);
}

void check_aligned(const void* address, const char* what, Site site) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0)
    machine().fail(
        std::string(what) + " is not 16-byte aligned (" + text_of(address) + " bytes beyond)",
        site);
}

// Of 16 bytes in shared memory.
void check_shared(const std::byte* address, const char* what, Site site) {
  const SharedMemory& shared = machine().block().shared;
  const auto at = reinterpret_cast<uintptr_t>(address);
  const auto begin = reinterpret_cast<uintptr_t>(shared.data());
  if (shared.bytes() < 16 || at < begin || at > begin + shared.bytes() - 16)
    machine().fail(std::string(what) + " is not within the block's " +
                       std::to_string(shared.bytes()) + " bytes of shared memory",
                   site);
  check_aligned(address, what, site);
}

struct Fragments {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

// Of all lanes, see device.h.
template <class Operands>
void multiply(const Operands& operand) {
  const auto low = [](uint32_t pair) { return float_of_bits(pair << 16); };
  const auto high = [](uint32_t pair) { return float_of_bits(pair & 0xffff0000u); };
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const Fragments& f = operand(lane);
    const int g = lane / 4, i = lane % 4 * 2;
    for (int n = 0; n < 4; ++n) {
      const int row = g + n % 2 * 8, k = i + n / 2 * 8;
      a[row][k] = low(f.a[n]);
      a[row][k + 1] = high(f.a[n]);
      d[g + n / 2 * 8][i + n % 2] = f.d[n];
    }
    for (int n = 0; n < 2; ++n) {
      b[i + n * 8][g] = low(f.b[n]);
      b[i + n * 8 + 1][g] = high(f.b[n]);
    }
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int col = 0; col < 8; ++col) d[row][col] += a[row][k] * b[k][col];
  for (int lane = 0; lane < kWarp; ++lane)
    for (int n = 0; n < 4; ++n) operand(lane).d[n] = d[lane / 4 + n / 2 * 8][lane % 4 * 2 + n % 2];
}

struct MatrixRows {
  uint32_t* out;
  const std::byte* row;
};

constexpr int kPoison = 0xff;

void finish(const Copy& copy) {
  Word4 poison;
  std::memset(&poison, kPoison, sizeof poison);
  if (std::memcmp(copy.to, &poison, sizeof poison) != 0)
    machine().fail("the destination of this copy_async() was written before copy_wait()",
                   copy.site);
  if (copy.from && std::memcmp(copy.from, &copy.bytes, sizeof copy.bytes) != 0)
    machine().fail("the source of this copy_async() changed before copy_wait()", copy.site);
  std::memcpy(copy.to, &copy.bytes, sizeof copy.bytes);
}

}  // namespace

void copy_wait(int groups, Site) {
  Machine& m = machine();
  Thread& t = m.thread();
  size_t done = 0;
  while (done < t.copies.size() && t.copies[done].group < t.copy_groups - groups)
    finish(t.copies[done++]);
  t.copies.erase(t.copies.begin(), t.copies.begin() + static_cast<std::ptrdiff_t>(done));
  m.yield_rarely(4);
}

}  // namespace twin

using twin::machine;
using twin::Site;
using twin::State;

void sync_block(Site site) { machine().sync_block(site); }

void sync_warp(Site site) {
  char nothing = 0;
  twin::meet(State::sync_warp, site, nothing, [](const auto&) {});
}

float shuffle_xor(float value, int mask, Site site) { return twin::shuffle_xor(value, mask, site); }
uint32_t shuffle_xor(uint32_t value, int mask, Site site) {
  return twin::shuffle_xor(value, mask, site);
}
float shuffle(float value, int from_lane, Site site) {
  return twin::shuffle(value, from_lane, site);
}
uint32_t shuffle(uint32_t value, int from_lane, Site site) {
  return twin::shuffle(value, from_lane, site);
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  twin::Fragments mine{d, a, b};
  twin::meet(State::mma_bf16, site, mine, [](const auto& operand) { twin::multiply(operand); });
}

void load_matrices(uint32_t (&out)[4], const std::byte* row, Site site) {
  twin::check_shared(row, "the row of load_matrices()", site);
  twin::MatrixRows mine{out, row};
  twin::meet(State::load_matrices, site, mine, [](const auto& operand) {
    for (int lane = 0; lane < kWarp; ++lane)
      for (int n = 0; n < 4; ++n)
        std::memcpy(&operand(lane).out[n], operand(n * 8 + lane / 4).row + lane % 4 * 4, 4);
  });
}

Word4 load_stream(const void* from, Site site) {
  twin::check_aligned(from, "the address of load_stream()", site);
  machine().yield_rarely(5);
  Word4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void copy_async(std::byte* to, const void* from, bool valid, Site site) {
  twin::check_shared(to, "the destination of copy_async()", site);
  twin::Thread& t = machine().thread();
  twin::Copy copy{to, nullptr, {}, t.copy_groups, site};
  if (valid) {
    twin::check_aligned(from, "the source of copy_async()", site);
    copy.from = from;
    std::memcpy(&copy.bytes, from, sizeof copy.bytes);
  }
  std::memset(to, twin::kPoison, sizeof copy.bytes);
  t.copies.push_back(copy);
}

void copy_commit() {
  ++machine().thread().copy_groups;
  machine().yield_rarely(4);
}

void wait_for_predecessor(Site site) {
  if (++machine().thread().predecessor_waits > 1)
    machine().fail("wait_for_predecessor() a second time", site);
  machine().yield_rarely(3);
}

void release_successor() { machine().yield_rarely(3); }

uint32_t add_and_order(uint32_t* counter, uint32_t value, Site) {
  machine().yield();
  const uint32_t before = *counter;
  *counter = before + value;
  machine().yield_rarely(1);
  return before;
}

}  // namespace krait::cuda
