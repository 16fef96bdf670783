// The parts of a tokenizer.json that tokenizers with merges share.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "src/tokenizer/bpe_json.h"
#include "src/tokenizer/bpe_tokenizer.h"
#include "src/tokenizer/json_field.h"

namespace krait {

// The normalised text: `text` itself or kept in `storage`.
using NormalizeFunction =
    std::function<std::string_view(std::string_view text, std::string& storage)>;

// Reads `added_tokens` into a model's parts. Throws InputError for what contradicts the vocabulary.
void read_added_tokens(const JsonField& list, const NormalizeFunction& normalize, BytesOf bytes_of,
                       BpeParts& parts);

// Reads `post_processor`: a template for one text, at most.
void read_post_processor(const JsonField& processor, BpeParts& parts);

}  // namespace krait
