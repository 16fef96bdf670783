// A tokenizer.json in the style of Llama: spaces as U+2581, bytes as "<0x0A>".
#pragma once

#include <memory>

#include "krait/tokenizer.h"
#include "src/tokenizer/json_field.h"

namespace krait {

// Whether a document is of this style, and not byte-level.
bool writes_spaces_as_characters(const JsonField& root);

// `root` is the whole document, its members known ones. Throws InputError for what is not
// understood.
std::unique_ptr<Tokenizer> read_metaspace_tokenizer(const JsonField& root);

}  // namespace krait
