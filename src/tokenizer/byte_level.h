// Byte-level BPE, as GPT-2 and GPT-NeoX use it: added tokens, normaliser, pre-tokeniser, merges.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "krait/tokenizer.h"
#include "src/tokenizer/added_tokens.h"
#include "src/tokenizer/bpe.h"
#include "src/tokenizer/normalizer.h"
#include "src/tokenizer/pretokenizer.h"
#include "src/tokenizer/vocabulary.h"

namespace krait {

// What a ByteLevelTokenizer is made of.
struct ByteLevelParts {
  std::unique_ptr<Vocabulary> vocabulary;  // the model's tokens, then the added ones
  std::unique_ptr<Bpe> bpe;                // over `vocabulary`
  std::vector<AddedToken> added_tokens;    // their ids are in `vocabulary`
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  bool add_prefix_space = false;  // before every stretch that does not begin with one
  std::vector<int32_t> prefix;    // special ids before and after the text
  std::vector<int32_t> suffix;
};

class ByteLevelTokenizer final : public Tokenizer {
 public:
  explicit ByteLevelTokenizer(ByteLevelParts parts);

  std::string_view kind() const noexcept override { return "byte-level BPE"; }
  int32_t vocab_size() const noexcept override { return parts_.vocabulary->size(); }
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string token_bytes(int32_t id, bool keep_special) const override;
  std::string_view token_text(int32_t id) const noexcept override;
  bool is_special(int32_t id) const noexcept override;
  int32_t find(std::string_view token_text) const noexcept override;
  VocabularyTables tables() const override;

 private:
  struct Work;
  void encode_normalized(std::string_view text, Work& work) const;

  ByteLevelParts parts_;
  AddedTokens in_text_;        // found in the text as it is
  AddedTokens in_normalized_;  // found in the normalised text
  std::vector<bool> special_;  // by id
};

}  // namespace krait
