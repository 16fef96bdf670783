#include "src/engine/gguf_vocabulary.h"

namespace krait {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kNone = "none";      // of kModel: llama.cpp's word for no tokenizer
constexpr float kPaddingScore = -1000.0f;  // the converters' choice

std::string padding_token(size_t id) { return "[PAD" + std::to_string(id) + "]"; }

// The format has room for one id that ends a text.
void add_ids(const SpecialIds& special, ordered_json& keys) {
  if (special.bos >= 0) keys["tokenizer.ggml.bos_token_id"] = static_cast<uint32_t>(special.bos);
  if (!special.eos.empty())
    keys["tokenizer.ggml.eos_token_id"] = static_cast<uint32_t>(special.eos.front());
}

}  // namespace

ordered_json gguf_vocabulary(const VocabularyTables& tables, const SpecialIds& special) {
  ordered_json keys = {{kModel, tables.model}};
  if (!tables.pre.empty()) keys["tokenizer.ggml.pre"] = tables.pre;
  keys[kTokens] = tables.tokens;
  if (!tables.scores.empty()) keys[kScores] = tables.scores;
  keys[kTypes] = tables.token_type;
  if (!tables.merges.empty()) keys["tokenizer.ggml.merges"] = tables.merges;
  add_ids(special, keys);
  keys["tokenizer.ggml.add_bos_token"] = tables.add_bos_token;
  keys["tokenizer.ggml.add_eos_token"] = tables.add_eos_token;
  if (tables.model == "llama") keys["tokenizer.ggml.add_space_prefix"] = tables.add_space_prefix;
  return keys;
}

ordered_json gguf_vocabulary(const json& metadata) {
  ordered_json keys = ordered_json::object();
  for (const auto& [key, value] : metadata.items())
    if (key.starts_with("tokenizer.")) keys[key] = value;
  if (!keys.contains(kModel)) keys[kModel] = kNone;
  return keys;
}

ordered_json gguf_without_vocabulary(const SpecialIds& special) {
  ordered_json keys = {{kModel, kNone}};
  add_ids(special, keys);
  return keys;
}

void pad_gguf_vocabulary(ordered_json& keys, int64_t rows) {
  if (!keys.contains(kTokens)) return;
  ordered_json& tokens = keys[kTokens];
  const bool has_types = keys.contains(kTypes), has_scores = keys.contains(kScores);
  for (size_t id = 0; id < static_cast<size_t>(rows); ++id) {
    if (id < tokens.size() && tokens[id] != "") continue;
    // An id without a string may also lie between others.
    tokens[id] = padding_token(id);
    if (has_types) keys[kTypes][id] = static_cast<int32_t>(GgufTokenType::unused);
    if (has_scores) keys[kScores][id] = kPaddingScore;
  }
}

}  // namespace krait
