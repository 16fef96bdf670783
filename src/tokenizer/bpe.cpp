#include "src/tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>
#include <string>

#include "krait/error.h"
#include "src/base/utf8.h"
#include "src/tokenizer/byte_alphabet.h"

namespace krait {

Bpe::Bpe(const Vocabulary& vocabulary, std::span<const Merge> merges, bool whole_words)
    : vocabulary_(vocabulary), whole_words_(whole_words) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_tokens_[static_cast<size_t>(byte)] = vocabulary.find(alphabet_from_bytes({&c, 1}));
  }
  set_merges(merges);
}

Bpe::Bpe(const Vocabulary& vocabulary, std::span<const Merge> merges, const CharacterRules& rules)
    : vocabulary_(vocabulary), whole_words_(rules.whole_words), characters_(rules) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string name = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
    byte_tokens_[byte] = rules.byte_fallback ? vocabulary.find(name) : -1;
  }
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view text = vocabulary.text(id);
    if (!text.empty() && utf8_unit(text, 0).length == text.size())
      character_tokens_.insert(text, id);
  }
  set_merges(merges);
}

void Bpe::set_merges(std::span<const Merge> merges) {
  merges_.resize(std::bit_ceil(std::max<size_t>(merges.size() * 2, 2)));
  shift_ = 64 - std::countr_zero(merges_.size());
  uint32_t rank = 0;
  for (const Merge& merge : merges) insert(merge, rank++);
  find_whole_tokens();
}

// What a piece looks like that is this token.
std::string_view Bpe::spelling(int32_t id) const noexcept {
  return characters_ ? vocabulary_.text(id) : vocabulary_.bytes(id);
}

size_t Bpe::first_slot(uint64_t pair) const noexcept {
  uint64_t hash = pair * 0x9E3779B97F4A7C15u;
  hash ^= hash >> 32;
  return static_cast<size_t>((hash * 0x9E3779B97F4A7C15u) >> shift_);
}

void Bpe::insert(const Merge& merge, uint32_t rank) {
  const uint64_t pair = key(merge.left, merge.right);
  size_t i = first_slot(pair);
  while (merges_[i].pair != kFree && merges_[i].pair != pair) i = (i + 1) & (merges_.size() - 1);
  merges_[i] = {pair, {rank, merge.result}};
}

Bpe::Result Bpe::lookup(int32_t left, int32_t right) const noexcept {
  const uint64_t pair = key(left, right);
  for (size_t i = first_slot(pair);; i = (i + 1) & (merges_.size() - 1)) {
    if (merges_[i].pair == pair) return merges_[i].result;
    if (merges_[i].pair == kFree) return {};
  }
}

std::vector<Merge> Bpe::merges() const {
  std::vector<const Slot*> used;
  for (const Slot& slot : merges_)
    if (slot.pair != kFree) used.push_back(&slot);
  std::sort(used.begin(), used.end(),
            [](const Slot* a, const Slot* b) { return a->result.rank < b->result.rank; });
  std::vector<Merge> list;
  list.reserve(used.size());
  for (const Slot* slot : used)
    list.push_back({static_cast<int32_t>(slot->pair >> 32), static_cast<int32_t>(slot->pair),
                    slot->result.id});
  return list;
}

// Most words of a text are tokens, and nearly every token is what its own bytes merge to. Those are
// found here once, so that encoding such a word is one look-up: a word cache that needs no lock.
void Bpe::find_whole_tokens() {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const std::string_view piece = spelling(id);
    if (piece.empty()) continue;
    if (whole_words_) {
      if (!characters_ && !bytes_from_alphabet(vocabulary_.text(id))) continue;
    } else {
      ids.clear();
      encode(piece, ids);
      if (ids.size() != 1 || ids[0] != id) continue;
    }
    whole_.insert(piece, id);
    longest_whole_ = std::max(longest_whole_, piece.size());
  }
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() <= longest_whole_) {
    const int32_t id = whole_.find(piece, [this](int32_t i) { return spelling(i); });
    if (id >= 0) return ids.push_back(id);
  }
  if (piece.size() <= kShortPiece)
    merge_short(piece, ids);
  else
    merge_long(piece, ids);
}

// Calls add(id) for the symbols that merging starts from: never more than the piece has bytes.
template <class Add>
void Bpe::add_symbols(std::string_view piece, Add add) const {
  if (characters_) return add_characters(piece, add);
  for (const char c : piece) {
    const int32_t id = byte_tokens_[static_cast<unsigned char>(c)];
    if (id >= 0) add(id);
  }
}

template <class Add>
void Bpe::add_characters(std::string_view piece, Add add) const {
  bool unknown = false;  // one or more characters wait to become the unknown token
  const auto finish_unknown = [&] {
    if (unknown) add(characters_->unknown);
    unknown = false;
  };
  const auto has_token = [&](char c) { return byte_tokens_[static_cast<unsigned char>(c)] >= 0; };
  for (size_t at = 0; at < piece.size();) {
    const std::string_view character = piece.substr(at, utf8_unit(piece, at).length);
    at += character.size();
    const int32_t id =
        character_tokens_.find(character, [this](int32_t i) { return vocabulary_.text(i); });
    if (id >= 0) {
      finish_unknown();
      add(id);
    } else if (std::all_of(character.begin(), character.end(), has_token)) {
      // In Hugging Face tokenizers bytes overtake the unknown characters before them.
      for (const char c : character) add(byte_tokens_[static_cast<unsigned char>(c)]);
    } else if (characters_->unknown >= 0) {
      if (!characters_->fuse_unknown) finish_unknown();
      unknown = true;
    }
  }
  finish_unknown();
}

void Bpe::merge_short(std::string_view piece, std::vector<int32_t>& ids) const {
  KRAIT_CHECK(piece.size() <= kShortPiece);
  std::array<int32_t, kShortPiece> symbols;
  std::array<Result, kShortPiece> merged;  // merged[i]: what symbols i and i + 1 become
  size_t count = 0;
  add_symbols(piece, [&](int32_t id) { symbols[count++] = id; });
  for (size_t i = 0; i + 1 < count; ++i) merged[i] = lookup(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (merged[i].rank < merged[best].rank) best = i;
    if (merged[best].rank == kNoRank) break;
    symbols[best] = merged[best].id;
    --count;
    for (size_t i = best + 1; i < count; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best; i + 1 < count; ++i) merged[i] = merged[i + 1];
    if (best > 0) merged[best - 1] = lookup(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merged[best] = lookup(symbols[best], symbols[best + 1]);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
}

void Bpe::merge_long(std::string_view piece, std::vector<int32_t>& ids) const {
  constexpr uint32_t kNone = 0xFFFFFFFF;
  struct Symbol {
    int32_t id;  // -1: merged into its left neighbour
    uint32_t previous;
    uint32_t next;
  };
  if (piece.size() >= kNone)
    throw InputError("the text has " + std::to_string(piece.size()) +
                     " bytes without a break; expected less than 4 GiB");
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  add_symbols(piece, [&](int32_t id) {
    const auto place = static_cast<uint32_t>(symbols.size());
    symbols.push_back({id, place - 1, place + 1});  // the first one's previous is kNone
  });
  if (symbols.empty()) return;
  symbols.back().next = kNone;

  // Candidates as rank << 32 | place: the least is the lowest rank, leftmost. One is out of date
  // when the pair that stands there now has another rank.
  std::vector<uint64_t> storage;
  storage.reserve(symbols.size());
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> candidates(
      {}, std::move(storage));
  const auto merged_at = [&](uint32_t place) -> Result {
    const Symbol& left = symbols[place];
    if (left.id < 0 || left.next == kNone) return {};
    return lookup(left.id, symbols[left.next].id);
  };
  const auto propose = [&](uint32_t place) {
    const Result result = merged_at(place);
    if (result.rank != kNoRank) candidates.push(static_cast<uint64_t>(result.rank) << 32 | place);
  };
  for (uint32_t place = 0; place < symbols.size(); ++place) propose(place);
  while (!candidates.empty()) {
    const uint64_t candidate = candidates.top();
    candidates.pop();
    const auto place = static_cast<uint32_t>(candidate);
    const Result result = merged_at(place);
    if (result.rank != candidate >> 32) continue;
    Symbol& left = symbols[place];
    Symbol& right = symbols[left.next];
    left.id = result.id;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = place;
    if (left.previous != kNone) propose(left.previous);
    propose(place);
  }
  for (uint32_t place = 0; place != kNone; place = symbols[place].next)
    ids.push_back(symbols[place].id);
}

}  // namespace krait
