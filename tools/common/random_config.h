// What lies beside the weights of a random checkpoint.
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "tools/common/random_checkpoint.h"

namespace krait {

// config.json or params.json, in the words of the layout.
nlohmann::ordered_json random_config(const RandomCheckpoint& settings);

// A byte-level tokenizer.json of at most that many ids, of which it needs 257: <|endoftext|> (0),
// the bytes, then some merges of English.
nlohmann::ordered_json random_tokenizer(int64_t vocab_size);

}  // namespace krait
