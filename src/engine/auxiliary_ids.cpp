// The padding and the unknown token, wherever a model says which they are.
#include <array>
#include <initializer_list>
#include <optional>

#include <nlohmann/json.hpp>

#include "krait/engine.h"
#include "src/engine/companions.h"

namespace krait {
namespace {

using nlohmann::json;

// -1 for whatever is not an id of the embedding: this is for display, and files disagree on how
// to say "none" (null, -1, an id beyond the end).
int32_t id_in(const json& object, const char* key, int64_t rows) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return -1;
  const auto id = found->get<int64_t>();
  return id >= 0 && id < rows ? static_cast<int32_t>(id) : -1;
}

// A token given as its text, or as an object with the text in "content".
int32_t id_of_text(const json& object, const char* key, const Tokenizer* tokenizer) {
  const auto found = object.find(key);
  if (found == object.end() || tokenizer == nullptr) return -1;
  const json* text = &*found;
  if (text->is_object() && text->contains("content")) text = &(*text)["content"];
  return text->is_string() ? tokenizer->find(text->get_ref<const std::string&>()) : -1;
}

int32_t first_id(std::initializer_list<int32_t> candidates) {
  for (const int32_t id : candidates)
    if (id >= 0) return id;
  return -1;
}

}  // namespace

AuxiliaryIds auxiliary_ids(const ModelFiles& files) {
  const json& config = files.checkpoint->config();
  const json generation = read_companion(files, "generation_config.json");
  const json tokenizer_config = read_companion(files, "tokenizer_config.json");
  const json special = read_companion(files, "special_tokens_map.json");
  const int64_t rows = files.config.embedding_rows;
  const Tokenizer* tokenizer = files.tokenizer.get();
  const auto by_text = [&](const char* key) {
    return first_id(
        {id_of_text(tokenizer_config, key, tokenizer), id_of_text(special, key, tokenizer)});
  };
  AuxiliaryIds ids;
  ids.pad =
      first_id({id_in(generation, "pad_token_id", rows), id_in(config, "pad_token_id", rows),
                id_in(config, "tokenizer.ggml.padding_token_id", rows), by_text("pad_token")});
  ids.unk =
      first_id({id_in(config, "tokenizer.ggml.unknown_token_id", rows), by_text("unk_token")});
  return ids;
}

}  // namespace krait
