// The `model` of a tokenizer.json with merges.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/tokenizer/bpe.h"
#include "src/tokenizer/json_field.h"
#include "src/tokenizer/vocabulary.h"

namespace krait {

inline constexpr int32_t kMaxTokenId = (1 << 22) - 1;  // bounds memory; real ones are far below

// The bytes a token stands for, from how the vocabulary writes it.
using BytesOf = std::string (*)(std::string_view text);

// Throws InputError for a model that is not BPE, that drops merges or marks subwords, and for a
// vocabulary that is not consistent.
std::unique_ptr<Vocabulary> read_bpe_vocabulary(const JsonField& model, BytesOf bytes_of);

// Throws InputError for merges of what is not in the vocabulary.
std::vector<Merge> read_bpe_merges(const JsonField& merges, const Vocabulary& vocabulary);

}  // namespace krait
