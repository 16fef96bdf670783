// The `model` of a tokenizer.json with byte-level BPE.
#pragma once

#include <memory>
#include <string_view>

#include "src/tokenizer/bpe.h"
#include "src/tokenizer/json_field.h"
#include "src/tokenizer/vocabulary.h"

namespace krait {

inline constexpr int32_t kMaxTokenId = (1 << 22) - 1;  // bounds memory; real ones are far below

struct BpeModel {
  std::unique_ptr<Vocabulary> vocabulary;
  std::unique_ptr<Bpe> bpe;
};

// Throws InputError for what is not byte-level BPE or not consistent.
BpeModel read_bpe_model(const JsonField& model);

// Adds a token. It stands for the bytes that `meaning` spells in the byte alphabet, or else for
// `meaning` as it is.
void add_token(Vocabulary& vocabulary, int32_t id, std::string_view text, std::string_view meaning);

}  // namespace krait
