#include <algorithm>

#include "krait/demo.h"
#include "krait/error.h"

namespace krait {
namespace {

constexpr int32_t kOrdinary = 15, kSpecial = 15;  // induction
constexpr int32_t kSymbols = 16, kNoise = 16, kMarker = 17, kCopied = 16;

// A number that looks random, of any other (the finaliser of SplitMix64: Steele, Lea, Flood, 2014).
uint64_t mix(uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// In [0, count), count below 2^32: the high half of a product, within 2^-32 of uniform.
int64_t below(uint64_t random, int64_t count) noexcept {
  return static_cast<int64_t>((random >> 32) * static_cast<uint64_t>(count) >> 32);
}

// Different places in [0, count), ascending: Floyd's sampling (Bentley and Floyd, 1987).
std::vector<int64_t> choose(int64_t wanted, int64_t count, uint64_t key) {
  std::vector<int64_t> places;
  for (int64_t last = count - wanted; last < count; ++last) {
    const int64_t place = below(mix(key + static_cast<uint64_t>(last)), last + 1);
    const bool taken = std::find(places.begin(), places.end(), place) != places.end();
    places.push_back(taken ? last : place);
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

std::string_view to_string(RecallTask task) noexcept {
  return task == RecallTask::induction ? "induction" : "copying";
}

int32_t vocabulary(RecallTask task) noexcept {
  return task == RecallTask::induction ? kOrdinary + 1 : kMarker + 1;
}

double chance(RecallTask task) noexcept {
  return 1.0 / (task == RecallTask::induction ? kOrdinary : kSymbols);
}

RecallSequence::RecallSequence(RecallTask task, int64_t length, uint64_t seed, uint64_t number)
    : task_(task),
      length_(length),
      key_(mix(mix(mix(seed) ^ static_cast<uint64_t>(length)) ^ number)) {
  KRAIT_CHECK(length >= kLeastRecallLength);
  const uint64_t place_key = mix(key_ ^ static_cast<uint64_t>(task));
  if (task == RecallTask::induction) {
    places_ = choose(1, length - 2, place_key);  // the answer comes before the last id
    answers_ = {id(places_[0] + 1)};
    return;
  }
  places_ = choose(kCopied, length - kCopied, place_key);
  for (const int64_t place : places_) answers_.push_back(ordinary(place, kSymbols));
}

int32_t RecallSequence::ordinary(int64_t place, int32_t count) const {
  return static_cast<int32_t>(below(mix(key_ + static_cast<uint64_t>(place)), count));
}

int32_t RecallSequence::id(int64_t place) const {
  if (task_ == RecallTask::induction)
    return place == places_[0] || place == length_ - 1 ? kSpecial : ordinary(place, kOrdinary);
  if (place >= length_ - kCopied) return kMarker;
  return std::binary_search(places_.begin(), places_.end(), place) ? ordinary(place, kSymbols)
                                                                   : kNoise;
}

void RecallSequence::read(int64_t first, std::span<int32_t> out) const {
  KRAIT_CHECK(first >= 0 && first + std::ssize(out) <= length_);
  for (int64_t i = 0; i < std::ssize(out); ++i) out[i] = id(first + i);
}

}  // namespace krait
