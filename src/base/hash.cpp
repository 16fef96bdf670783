#include "src/base/hash.h"

#include <new>

#include <xxhash.h>

namespace krait {
namespace {

XXH3_state_t* as_state(void* state) { return static_cast<XXH3_state_t*>(state); }

}  // namespace

uint64_t hash_of(std::span<const std::byte> bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

void Hasher::Free::operator()(void* state) const noexcept { XXH3_freeState(as_state(state)); }

Hasher::Hasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_64bits_reset(as_state(state_.get()));
}

void Hasher::add(std::span<const std::byte> bytes) noexcept {
  XXH3_64bits_update(as_state(state_.get()), bytes.data(), bytes.size());
}

void Hasher::add(std::string_view text) noexcept {
  add(uint64_t{text.size()});
  add(std::as_bytes(std::span(text)));
}

uint64_t Hasher::value() const noexcept { return XXH3_64bits_digest(as_state(state_.get())); }

}  // namespace krait
