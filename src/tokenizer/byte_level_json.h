// A tokenizer.json with byte-level BPE.
#pragma once

#include <memory>

#include "krait/tokenizer.h"
#include "src/tokenizer/json_field.h"

namespace krait {

// `root` is the whole document, its members known ones. Throws InputError for what is not
// understood.
std::unique_ptr<Tokenizer> read_byte_level_tokenizer(const JsonField& root);

}  // namespace krait
