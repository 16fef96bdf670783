// The vocabulary tables in the metadata of a GGUF file (gguf.md of the ggml project, "Tokenizer").
#pragma once

#include <string>
#include <vector>

#include "krait/tokenizer.h"
#include "src/tokenizer/json_field.h"

namespace krait {

// Reads tokenizer.ggml.tokens and token_type: as many types as tokens, each from 1 to 6. Tokens
// named "[PAD" and their own index "]" count as unused whatever the file calls them: converters pad
// with them, and old ones called them user-defined. `root` is the metadata. Throws InputError
// naming the key.
void read_gguf_tokens(const JsonField& root, VocabularyTables& tables);

// Reads tokenizer.ggml.scores; tokens must be read.
void read_gguf_scores(const JsonField& root, VocabularyTables& tables);

// Which tokens stand before and behind every text; -1: none.
struct TextEnds {
  int32_t bos = -1;
  int32_t eos = -1;
};

// Reads add_bos_token and add_eos_token (false unless said otherwise here) and the ids. Throws
// InputError when a token is to be added whose id the file does not tell.
TextEnds read_gguf_ends(const JsonField& root, const VocabularyTables& tables,
                        bool add_bos_by_default);

}  // namespace krait
