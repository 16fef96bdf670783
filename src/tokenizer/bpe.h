// Byte-pair encoding of one piece of text: starting from single bytes, or characters, the adjacent
// pair of lowest rank is merged, leftmost first, until no pair has a rank.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "src/tokenizer/string_index.h"
#include "src/tokenizer/vocabulary.h"

namespace krait {

// A pair of tokens and the token it becomes. A merge's rank is its place in the list.
struct Merge {
  int32_t left;
  int32_t right;
  int32_t result;
};

// How text becomes the first symbols where these are characters. One without a token becomes the
// tokens of its bytes, "<0x0A>", where all are there; else the unknown token; else nothing.
struct CharacterRules {
  bool byte_fallback = false;
  int32_t unknown = -1;       // -1: none
  bool fuse_unknown = false;  // unknown characters in a row are one unknown token
  bool whole_words = false;   // as below
};

// Immutable and safe to share between threads.
class Bpe {
 public:
  // `vocabulary` must outlive this; tokens that are added to it later are never produced. Of
  // repeated merges the last one counts. `whole_words`: a piece that is a token in itself becomes
  // that token whatever the merges say (`ignore_merges`).
  Bpe(const Vocabulary& vocabulary, std::span<const Merge> merges, bool whole_words);

  // Starting from characters, as the vocabulary writes them, and not from bytes.
  Bpe(const Vocabulary& vocabulary, std::span<const Merge> merges, const CharacterRules& rules);

  // Appends the ids of a piece. Bytes without a token are left out, as Hugging Face tokenizers do
  // when there is no unknown token. O(n log n). Throws InputError for a piece of 4 GiB.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const;

  // What can happen, by rank: of repeated merges the last one. Not fast: for writers of files.
  std::vector<Merge> merges() const;
  bool whole_words() const noexcept { return whole_words_; }
  const std::optional<CharacterRules>& characters() const noexcept { return characters_; }

  // The id of that byte alone, in the byte alphabet or as "<0x0A>", or -1.
  int32_t byte_token(unsigned char byte) const noexcept { return byte_tokens_[byte]; }

  // The two ways to merge, which agree: a scan for short pieces, a heap for long ones.
  void merge_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view piece, std::vector<int32_t>& ids) const;
  static constexpr size_t kShortPiece = 64;  // bytes; merge_short takes no more

 private:
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;
  struct Result {
    uint32_t rank = kNoRank;
    int32_t id = -1;
  };
  struct Slot {
    uint64_t pair = kFree;
    Result result;
  };
  static constexpr uint64_t kFree = ~uint64_t{0};  // no pair: ids are not negative

  static uint64_t key(int32_t left, int32_t right) noexcept {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  void set_merges(std::span<const Merge> merges);
  template <class Add>
  void add_symbols(std::string_view piece, Add add) const;
  template <class Add>
  void add_characters(std::string_view piece, Add add) const;
  std::string_view spelling(int32_t id) const noexcept;
  size_t first_slot(uint64_t pair) const noexcept;
  void insert(const Merge& merge, uint32_t rank);
  Result lookup(int32_t left, int32_t right) const noexcept;
  void find_whole_tokens();

  const Vocabulary& vocabulary_;
  bool whole_words_;
  std::array<int32_t, 256> byte_tokens_;
  std::optional<CharacterRules> characters_;  // none: the symbols are bytes
  StringIndex character_tokens_;              // where they are characters
  std::vector<Slot> merges_;                  // open addressing, at most half full
  int shift_ = 0;                             // 64 - log2(slots)
  StringIndex whole_;                         // pieces that are known to become a single token
  size_t longest_whole_ = 0;                  // bytes
};

}  // namespace krait
