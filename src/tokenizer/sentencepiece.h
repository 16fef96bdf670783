// Tokenizers of the sentencepiece library, as Llama and Mistral use them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "krait/tokenizer.h"
#include "src/tokenizer/added_tokens.h"
#include "src/tokenizer/sentencepiece_model.h"
#include "src/tokenizer/vocabulary.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace krait {

class SentencepieceTokenizer final : public Tokenizer {
 public:
  // The model must have passed check_sentencepiece_model. Throws InputError naming `source` when
  // the library refuses it all the same.
  SentencepieceTokenizer(SentencepieceModel model, const std::string& source);
  ~SentencepieceTokenizer() override;

  std::string_view kind() const noexcept override;
  int32_t vocab_size() const noexcept override { return vocabulary_.size(); }
  // Control pieces are found in the text only with parse_special_tokens.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  // Control pieces are special. The unknown piece is not: it stands where text was lost.
  std::string token_bytes(int32_t id, bool keep_special) const override;
  std::string_view token_text(int32_t id) const noexcept override;
  bool is_special(int32_t id) const noexcept override;
  int32_t find(std::string_view token_text) const noexcept override;
  bool strips_leading_space() const noexcept override;
  VocabularyTables tables() const override;

 private:
  using Processor = sentencepiece::SentencePieceProcessor;

  void encode_stretch(const Processor& processor, std::string_view text,
                      std::vector<int32_t>& ids) const;

  SentencepieceModel model_;
  Vocabulary vocabulary_;
  AddedTokens control_;
  std::unique_ptr<Processor> at_start_;  // of the text
  std::unique_ptr<Processor> inside_;    // without a dummy prefix; null: as at the start
};

}  // namespace krait
