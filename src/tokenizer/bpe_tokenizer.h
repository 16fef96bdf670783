// What tokenizers with merges share: added tokens around the pieces that merges build.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "krait/tokenizer.h"
#include "src/base/utf8.h"
#include "src/tokenizer/added_tokens.h"
#include "src/tokenizer/bpe.h"
#include "src/tokenizer/vocabulary.h"

namespace krait {

struct BpeParts {
  std::unique_ptr<Vocabulary> vocabulary;  // the model's tokens, then the added ones
  std::unique_ptr<Bpe> bpe;                // over `vocabulary`
  std::vector<AddedToken> added_tokens;    // their ids are in `vocabulary`
  std::vector<int32_t> prefix;             // special ids before and after the text
  std::vector<int32_t> suffix;
};

class BpeTokenizer : public Tokenizer {
 public:
  int32_t vocab_size() const noexcept override { return parts_.vocabulary->size(); }
  std::string token_bytes(int32_t id, bool keep_special) const override;
  std::string_view token_text(int32_t id) const noexcept override;
  bool is_special(int32_t id) const noexcept override;
  int32_t find(std::string_view token_text) const noexcept override;

 protected:
  explicit BpeTokenizer(BpeParts parts);

  const BpeParts& parts() const noexcept { return parts_; }

  // Where a stretch of text stands.
  enum class Place { start, after_token, after_text };

  // Encodes `text` by way of normalize(stretch, place, storage), which returns the normalised
  // stretch, itself or kept in `storage`, and encode(stretch, place, ids), which appends the ids of
  // a normalised stretch. No stretch is empty.
  template <class Normalize, class Encode>
  std::vector<int32_t> encode_around_tokens(std::string_view text, const EncodeOptions& options,
                                            const Normalize& normalize,
                                            const Encode& encode) const {
    std::string repaired;
    if (!is_valid_utf8(text)) text = repaired = repair_utf8(text);
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 4 + parts_.prefix.size() + parts_.suffix.size());
    if (options.add_special_tokens) ids = parts_.prefix;
    const bool special = options.parse_special_tokens;
    Place place = options.continues ? Place::after_text : Place::start;
    const auto split_normalized = [&](std::string_view stretch, int32_t id) {
      if (id >= 0)
        ids.push_back(id);
      else
        encode(stretch, place, ids);
      place = Place::after_token;
    };
    in_text_.split(text, special, [&](std::string_view stretch, int32_t id) {
      if (id >= 0) return split_normalized(stretch, id);
      std::string storage;
      in_normalized_.split(normalize(stretch, place, storage), special, split_normalized);
    });
    if (options.add_special_tokens)
      ids.insert(ids.end(), parts_.suffix.begin(), parts_.suffix.end());
    return ids;
  }

 private:
  BpeParts parts_;
  AddedTokens in_text_;        // found in the text as it is
  AddedTokens in_normalized_;  // found in the normalised text
  std::vector<bool> special_;  // by id
};

}  // namespace krait
