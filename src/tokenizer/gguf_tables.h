// What tokenizers of all kinds put into the tables of a GGUF file alike.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "krait/tokenizer.h"
#include "src/tokenizer/added_tokens.h"
#include "src/tokenizer/vocabulary.h"

namespace krait {

// Throws InputError: "a GGUF file has no words for this tokenizer: WHAT".
[[noreturn]] void fail_gguf(const std::string& what);

// Sets tokens and token_type. Ids without a string become "[PADn]", unused; special added tokens
// are control, the others user-defined. Throws InputError for added tokens that take white space
// or stand alone.
void add_tokens(const Vocabulary& vocabulary, const std::vector<AddedToken>& added,
                VocabularyTables& tables);

// Sets add_bos_token and add_eos_token. Which id that is stands elsewhere in the file. Throws
// InputError for more than one token on a side.
void add_template(const std::vector<int32_t>& prefix, const std::vector<int32_t>& suffix,
                  VocabularyTables& tables);

}  // namespace krait
