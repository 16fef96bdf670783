// A hash table from strings to ids that does not hold the strings: whoever looks up says what the
// string of an id is. Eight bytes a slot, open addressing, no deletion.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace krait {

// A fast hash of short byte strings. Only for tables in memory: it differs between machines.
inline uint64_t hash_bytes(std::string_view bytes) noexcept {
  constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio: spreads nearby keys
  uint64_t hash = bytes.size() * kMix;
  const auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * kMix;
    hash ^= hash >> 29;
  };
  uint64_t word;
  size_t at = 0;
  for (; at + sizeof word <= bytes.size(); at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    mix(word);
  }
  word = 0;
  for (size_t i = at; i < bytes.size(); ++i)
    word = word << 8 | static_cast<unsigned char>(bytes[i]);
  mix(word);
  return hash;
}

class StringIndex {
 public:
  // The string must not be in the table yet.
  void insert(std::string_view text, int32_t id) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    place({static_cast<uint32_t>(hash_bytes(text) >> 32), id});
    ++count_;
  }

  // `text_of(id)` is the string that was inserted for an id. -1 when there is none.
  template <class TextOf>
  int32_t find(std::string_view text, TextOf text_of) const noexcept {
    if (slots_.empty()) return -1;
    const auto hash = static_cast<uint32_t>(hash_bytes(text) >> 32);
    const size_t mask = slots_.size() - 1;
    for (size_t i = hash & mask; slots_[i].id >= 0; i = (i + 1) & mask)
      if (slots_[i].hash == hash && text_of(slots_[i].id) == text) return slots_[i].id;
    return -1;
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;  // -1: free
  };

  void place(Slot slot) {
    const size_t mask = slots_.size() - 1;
    size_t i = slot.hash & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i] = slot;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    for (const Slot slot : old)
      if (slot.id >= 0) place(slot);
  }

  std::vector<Slot> slots_;  // a power of two; at most half full, so that find ends
  size_t count_ = 0;
};

}  // namespace krait
