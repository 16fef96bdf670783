// The keys tokenizer.* of a GGUF file.
#pragma once

#include <nlohmann/json.hpp>

#include "krait/engine.h"
#include "krait/tokenizer.h"

namespace krait {

// Of a tokenizer that was read from elsewhere, and the ids that begin and end a text.
nlohmann::ordered_json gguf_vocabulary(const VocabularyTables& tables, const SpecialIds& special);

// Of another GGUF file: as they are there; none where it has no tokenizer.
nlohmann::ordered_json gguf_vocabulary(const nlohmann::json& metadata);

// Where there is no tokenizer; other programs then take ids only.
nlohmann::ordered_json gguf_without_vocabulary(const SpecialIds& special);

// Fills the lists up to `rows` tokens: the others read "[PAD" and their own index "]", by which
// krait and converters know rows of the embedding that stand for nothing.
void pad_gguf_vocabulary(nlohmann::ordered_json& keys, int64_t rows);

}  // namespace krait
