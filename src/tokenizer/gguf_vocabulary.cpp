#include "src/tokenizer/gguf_vocabulary.h"

#include "src/tokenizer/bpe_json.h"

namespace krait {
namespace {

bool is_padding(const std::string& token, size_t index) {
  return token.starts_with("[PAD") && token == "[PAD" + std::to_string(index) + "]";
}

JsonField array_of(const JsonField& root, const char* key, size_t count) {
  const JsonField array = root[key];
  if (array.size() != count)
    array.fail("as many elements as tokenizer.ggml.tokens, " + std::to_string(count));
  return array;
}

int32_t end_token(const JsonField& root, const VocabularyTables& tables, const char* add_key,
                  const char* id_key, bool by_default) {
  if (!root[add_key].boolean_or(by_default)) return -1;
  const int32_t id = root[id_key].integer(0, static_cast<int32_t>(tables.tokens.size()) - 1);
  if (tables.token_type[static_cast<size_t>(id)] == GgufTokenType::unused)
    root[id_key].fail("the id of a token that is in use");
  return id;
}

}  // namespace

void read_gguf_tokens(const JsonField& root, VocabularyTables& tables) {
  const JsonField tokens = root["tokenizer.ggml.tokens"];
  const size_t count = tokens.size();
  if (count == 0 || count > static_cast<size_t>(kMaxTokenId) + 1)
    tokens.fail("1 to " + std::to_string(kMaxTokenId + 1) + " strings");
  const JsonField types = array_of(root, "tokenizer.ggml.token_type", count);
  tables.tokens.reserve(count);
  tables.token_type.reserve(count);
  for (size_t id = 0; id < count; ++id) {
    tables.tokens.push_back(tokens[id].string());
    const int32_t type = types[id].integer(GgufTokenType::normal, GgufTokenType::byte);
    tables.token_type.push_back(is_padding(tables.tokens.back(), id) ? GgufTokenType::unused
                                                                     : type);
  }
}

void read_gguf_scores(const JsonField& root, VocabularyTables& tables) {
  const JsonField scores = array_of(root, "tokenizer.ggml.scores", tables.tokens.size());
  tables.scores.reserve(tables.tokens.size());
  for (size_t id = 0; id < tables.tokens.size(); ++id) {
    const nlohmann::json& score = scores.value()[id];
    if (!score.is_number()) scores[id].fail("a number");
    tables.scores.push_back(score.get<float>());
  }
}

TextEnds read_gguf_ends(const JsonField& root, const VocabularyTables& tables,
                        bool add_bos_by_default) {
  return {end_token(root, tables, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id",
                    add_bos_by_default),
          end_token(root, tables, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id",
                    false)};
}

}  // namespace krait
