// Byte-level BPE, as GPT-2 and GPT-NeoX use it: added tokens, normaliser, pre-tokeniser, merges.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "src/tokenizer/bpe_tokenizer.h"
#include "src/tokenizer/normalizer.h"
#include "src/tokenizer/pretokenizer.h"

namespace krait {

// What a ByteLevelTokenizer is made of.
struct ByteLevelParts : BpeParts {
  Normalizer normalizer{{}};
  PreTokenizer pre_tokenizer{{}};
  bool add_prefix_space = false;  // before every stretch that does not begin with one
};

class ByteLevelTokenizer final : public BpeTokenizer {
 public:
  explicit ByteLevelTokenizer(ByteLevelParts parts);

  std::string_view kind() const noexcept override { return "byte-level BPE"; }
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  VocabularyTables tables() const override;

 private:
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  bool add_prefix_space_;
};

}  // namespace krait
