// Which tokenizer a model gets.
#pragma once

#include <memory>

#include "krait/engine.h"

namespace krait {

// The first there is of: what `options.tokenizer` names (a file, a folder, or "bytes"); the
// tokenizer inside a GGUF file; tokenizer.json, then tokenizer.model and its like beside the
// weights; for checkpoints of mamba_ssm, which come without one, GPT-NeoX's from the local Hugging
// Face cache (options.warn tells which file); bytes where the embedding has 256 rows. Null when
// there is none. `files` holds everything but the tokenizer. Throws InputError.
std::unique_ptr<Tokenizer> open_tokenizer(const OpenOptions& options, const ModelFiles& files);

}  // namespace krait
