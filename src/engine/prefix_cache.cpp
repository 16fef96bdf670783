#include "src/engine/prefix_cache.h"

#include <algorithm>

#include "krait/error.h"

namespace krait {

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) noexcept {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

PrefixCache::PrefixCache(Backend& backend, int64_t floats_per_state, size_t capacity)
    : backend_(backend), floats_(floats_per_state), capacity_(capacity) {}

const PrefixCache::Entry* PrefixCache::find(std::span<const int32_t> prompt) {
  auto best = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry)
    if (entry->ids.size() < prompt.size() &&
        std::equal(entry->ids.begin(), entry->ids.end(), prompt.begin()) &&
        (best == entries_.end() || entry->ids.size() > best->ids.size()))
      best = entry;
  if (best == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, best);
  return &entries_.front();
}

void PrefixCache::announce(std::span<const int32_t> ids) {
  entries_.push_front({{ids.begin(), ids.end()}, nullptr});
  evict();
}

void PrefixCache::store(std::span<const int32_t> ids, const float* state) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
    return std::equal(e.ids.begin(), e.ids.end(), ids.begin(), ids.end());
  });
  KRAIT_CHECK(entry != entries_.end());
  entry->state = backend_.buffer(floats_);
  backend_.copy(state, entry->state->data, floats_);
}

// An announced entry stays: others wait for it.
void PrefixCache::evict() {
  const auto has_state = [](const Entry& e) { return e.state != nullptr; };
  while (entries_.size() > capacity_) {
    const auto last = std::find_if(entries_.rbegin(), entries_.rend(), has_state);
    if (last == entries_.rend()) return;
    entries_.erase(std::next(last).base());
  }
}

}  // namespace krait
