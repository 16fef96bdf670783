// States after the beginnings that several prompts share: such a beginning is read once and then
// copied. Within one run of a scheduler; a handful of states, the least recently used goes first.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "krait/backend.h"

namespace krait {

class PrefixCache {
 public:
  // Keeps at most `capacity` states of `floats_per_state`.
  PrefixCache(Backend& backend, int64_t floats_per_state, size_t capacity);

  struct Entry {
    std::vector<int32_t> ids;
    std::unique_ptr<Buffer> state;  // null while somebody is still reading these ids
  };

  // The longest known beginning of `prompt` that leaves at least one token to feed; nullptr when
  // there is none. It may still be without a state.
  const Entry* find(std::span<const int32_t> prompt);

  // Announces that the state after these ids is going to be stored.
  void announce(std::span<const int32_t> ids);
  // Copies the state after `ids`, which were announced.
  void store(std::span<const int32_t> ids, const float* state);

 private:
  void evict();

  Backend& backend_;
  int64_t floats_;
  size_t capacity_;
  std::list<Entry> entries_;  // most recently used first
};

// How many ids two prompts have in common at their beginnings.
int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) noexcept;

}  // namespace krait
