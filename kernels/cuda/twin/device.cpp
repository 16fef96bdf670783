// The functions of device.h that threads meet in, or that move memory.
#include <cstring>

#include "kernels/cuda/twin/machine.h"

namespace krait::cuda {

namespace twin {
namespace {

// All lanes of the warp meet; the last one calls complete(table).
template <class Complete>
void meet(State what, Site site, const Complete& complete) {
  if (!machine->arrive(what, site)) return;
  complete(machine->warp().table);
  machine->release_warp();
}

uint32_t exchange(State what, uint32_t value, int from, Site site) {
  Table& mine = machine->warp().table;
  const int lane = machine->lane();
  mine.values[lane] = value;
  mine.from[lane] = static_cast<uint8_t>(from);
  meet(what, site, [](Table& t) {
    for (int i = 0; i < kWarp; ++i) t.results[i] = t.values[t.from[i]];
  });
  return mine.results[lane];
}

int checked_lane(int lane, const char* name, Site site) {
  if (lane < 0 || lane >= kWarp)
    machine->fail(std::string(name) + " is " + std::to_string(lane) + ": expected 0 to 31", site);
  return lane;
}

std::string text_of(const void* address) {
  return std::to_string(reinterpret_cast<uintptr_t>(address) % 16);
}

void check_aligned(const void* address, const char* what, Site site) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0)
    machine->fail(
        std::string(what) + " is not 16-byte aligned (" + text_of(address) + " bytes beyond)",
        site);
}

// Of 16 bytes in shared memory.
void check_shared(const std::byte* address, const char* what, Site site) {
  const SharedMemory& shared = machine->block().shared;
  const auto at = reinterpret_cast<uintptr_t>(address);
  const auto begin = reinterpret_cast<uintptr_t>(shared.data());
  if (shared.bytes() < 16 || at < begin || at > begin + shared.bytes() - 16)
    machine->fail(std::string(what) + " is not within the block's " +
                      std::to_string(shared.bytes()) + " bytes of shared memory",
                  site);
  check_aligned(address, what, site);
}

float low(uint32_t pair) { return float_of_bits(pair << 16); }
float high(uint32_t pair) { return float_of_bits(pair & 0xffff0000u); }

// With the fragments of all lanes side by side, a[n] are four matrices of 8 x 8, the first two of
// columns 0 to 7, b[n] two transposed ones, and d[0], d[1] rows 0 to 7 and 8 to 15.
void multiply(Table& t) {
  float b[16][8];
  for (int k = 0; k < 16; k += 2)
    for (int col = 0; col < 8; ++col) {
      const uint32_t pair = t.b[k / 8][col * 4 + k % 8 / 2];
      b[k][col] = low(pair);
      b[k + 1][col] = high(pair);
    }
  for (int row = 0; row < 8; ++row) {
    float upper[8], lower[8];
    std::memcpy(upper, t.d[0][row * 4], sizeof upper);
    std::memcpy(lower, t.d[1][row * 4], sizeof lower);
    for (int k = 0; k < 16; k += 2) {
      const uint32_t up = t.a[k / 8 * 2][row * 4 + k % 8 / 2];
      const uint32_t down = t.a[k / 8 * 2 + 1][row * 4 + k % 8 / 2];
      for (int col = 0; col < 8; ++col) upper[col] += low(up) * b[k][col];
      for (int col = 0; col < 8; ++col) lower[col] += low(down) * b[k][col];
      for (int col = 0; col < 8; ++col) upper[col] += high(up) * b[k + 1][col];
      for (int col = 0; col < 8; ++col) lower[col] += high(down) * b[k + 1][col];
    }
    std::memcpy(t.d[0][row * 4], upper, sizeof upper);
    std::memcpy(t.d[1][row * 4], lower, sizeof lower);
  }
}

constexpr int kPoison = 0xff;

void finish(const Copy& copy) {
  Word4 poison;
  std::memset(&poison, kPoison, sizeof poison);
  if (std::memcmp(copy.to, &poison, sizeof poison) != 0)
    machine->fail("the destination of this copy_async() was written before copy_wait()", copy.site);
  if (copy.from && std::memcmp(copy.from, &copy.bytes, sizeof copy.bytes) != 0)
    machine->fail("the source of this copy_async() changed before copy_wait()", copy.site);
  std::memcpy(copy.to, &copy.bytes, sizeof copy.bytes);
}

}  // namespace

void copy_wait(int groups, Site) {
  Machine& m = *machine;
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

void sync_block(Site site) { machine->sync_block(site); }

void sync_warp(Site site) {
  twin::meet(State::sync_warp, site, [](twin::Table&) {});
}

uint32_t shuffle_xor(uint32_t value, int mask, Site site) {
  const int from = machine->lane() ^ twin::checked_lane(mask, "the mask of shuffle_xor()", site);
  return twin::exchange(State::shuffle_xor, value, from, site);
}
float shuffle_xor(float value, int mask, Site site) {
  return float_of_bits(shuffle_xor(bits_of_float(value), mask, site));
}
uint32_t shuffle(uint32_t value, int from_lane, Site site) {
  const int from = twin::checked_lane(from_lane, "the lane of shuffle()", site);
  return twin::exchange(State::shuffle, value, from, site);
}
float shuffle(float value, int from_lane, Site site) {
  return float_of_bits(shuffle(bits_of_float(value), from_lane, site));
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  twin::Table& t = machine->warp().table;
  const int lane = machine->lane();
  for (int n = 0; n < 4; ++n) t.a[n][lane] = a[n];
  for (int n = 0; n < 2; ++n) t.b[n][lane] = b[n];
  for (int n = 0; n < 4; ++n) t.d[n / 2][lane][n % 2] = d[n];
  twin::meet(State::mma_bf16, site, twin::multiply);
  for (int n = 0; n < 4; ++n) d[n] = t.d[n / 2][lane][n % 2];
}

void load_matrices(uint32_t (&out)[4], const std::byte* row, Site site) {
  twin::check_shared(row, "the row of load_matrices()", site);
  twin::Table& mine = machine->warp().table;
  const int lane = machine->lane();
  mine.rows[lane] = row;
  twin::meet(State::load_matrices, site, [](twin::Table& t) {
    for (int i = 0; i < kWarp; ++i)
      for (int n = 0; n < 4; ++n)
        std::memcpy(&t.fragments[i][n], t.rows[n * 8 + i / 4] + i % 4 * 4, 4);
  });
  std::memcpy(out, mine.fragments[lane], sizeof out);
}

Word4 load_stream(const void* from, Site site) {
  twin::check_aligned(from, "the address of load_stream()", site);
  machine->yield_rarely(5);
  Word4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void copy_async(std::byte* to, const void* from, bool valid, Site site) {
  twin::check_shared(to, "the destination of copy_async()", site);
  twin::Thread& t = machine->thread();
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
  ++machine->thread().copy_groups;
  machine->yield_rarely(4);
}

void wait_for_predecessor(Site site) { machine->wait_for_predecessor(site); }

void release_successor() { machine->yield_rarely(3); }

uint32_t add_and_order(uint32_t* counter, uint32_t value, Site) {
  machine->yield();
  const uint32_t before = *counter;
  *counter = before + value;
  machine->yield_rarely(1);
  return before;
}

}  // namespace krait::cuda
