// Tokenizers from the metadata of GGUF files. What the names of pre-tokenisers mean and what holds
// where a file is silent follows llama.cpp (src/llama-vocab.cpp), for which such files are made.
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "krait/error.h"
#include "src/tokenizer/bpe_json.h"
#include "src/tokenizer/byte_alphabet.h"
#include "src/tokenizer/byte_level.h"
#include "src/tokenizer/gguf_vocabulary.h"
#include "src/tokenizer/json_field.h"
#include "src/tokenizer/sentencepiece.h"

namespace krait {
namespace {

// ---- "gpt2": byte-level BPE ------------------------------------------------------------------

struct Family {
  std::vector<SplitStep> steps;
  bool whole_words = false;  // a piece that is a token becomes it whatever the merges say
  bool add_bos = false;      // where the file does not tell
};

// What llama.cpp does to files from before pre-tokenisers had names.
std::vector<SplitStep> default_steps() {
  return {{R"([\p{P}$+<=>^~|]+)"}, gpt2_step(), digits_step(false), {"[0-9][0-9][0-9]"}};
}

Family read_family(const JsonField& pre) {
  const std::string name = pre.is_null() ? "default" : pre.string();
  const auto is_one_of = [&name](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_one_of({"gpt-2", "mpt", "olmo", "jais"})) return {gpt2_steps()};
  if (name == "falcon") return {falcon_steps()};
  if (is_one_of({"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1"}))
    return {llama3_steps(), true, true};
  if (name == "default") return {default_steps()};
  pre.fail(
      "default, gpt-2, mpt, olmo, jais, falcon, llama-bpe, llama3, llama-v3, falcon3 or "
      "falcon-h1");
}

// Tokens whose type passes. Others keep their ids: they come later or stand for nothing.
template <class Passes>
void add_tokens_to(Vocabulary& vocabulary, const VocabularyTables& tables, const JsonField& tokens,
                   Passes passes) {
  for (size_t id = 0; id < tables.tokens.size(); ++id) {
    const std::string& text = tables.tokens[id];
    if (text.empty() || !passes(tables.token_type[id])) continue;
    const int32_t other = vocabulary.find(text);
    if (other >= 0) tokens[id].fail("another: that is token " + std::to_string(other));
    vocabulary.add(static_cast<int32_t>(id), text, bytes_from_alphabet(text).value_or(text));
  }
}

std::vector<AddedToken> added_tokens(const VocabularyTables& tables) {
  std::vector<AddedToken> added;
  for (size_t id = 0; id < tables.tokens.size(); ++id) {
    const int32_t type = tables.token_type[id];
    const bool special = type == GgufTokenType::control || type == GgufTokenType::unknown;
    if ((!special && type != GgufTokenType::user_defined) || tables.tokens[id].empty()) continue;
    added.push_back(
        {.id = static_cast<int32_t>(id), .content = tables.tokens[id], .special = special});
  }
  return added;
}

std::unique_ptr<Tokenizer> read_byte_level(const JsonField& root) {
  Family family = read_family(root["tokenizer.ggml.pre"]);
  VocabularyTables tables;
  read_gguf_tokens(root, tables);
  const JsonField tokens = root["tokenizer.ggml.tokens"];
  for (size_t id = 0; id < tables.tokens.size(); ++id)
    if (tables.token_type[id] == GgufTokenType::byte)
      root["tokenizer.ggml.token_type"][id].fail("1 to 5 where tokenizer.ggml.model is \"gpt2\"");

  const auto is_normal = [](int32_t type) { return type == GgufTokenType::normal; };
  const auto is_added = [](int32_t type) {
    return type != GgufTokenType::normal && type != GgufTokenType::unused;
  };
  ByteLevelParts parts;
  parts.vocabulary = std::make_unique<Vocabulary>();
  add_tokens_to(*parts.vocabulary, tables, tokens, is_normal);
  parts.bpe = std::make_unique<Bpe>(
      *parts.vocabulary, read_bpe_merges(root["tokenizer.ggml.merges"], *parts.vocabulary),
      family.whole_words);
  add_tokens_to(*parts.vocabulary, tables, tokens, is_added);
  parts.added_tokens = added_tokens(tables);
  parts.pre_tokenizer = PreTokenizer(std::move(family.steps));
  const TextEnds ends = read_gguf_ends(root, tables, family.add_bos);
  if (ends.bos >= 0) parts.prefix.push_back(ends.bos);
  if (ends.eos >= 0) parts.suffix.push_back(ends.eos);
  return std::make_unique<ByteLevelTokenizer>(std::move(parts));
}

// ---- "llama": sentencepiece --------------------------------------------------------------------

std::unique_ptr<Tokenizer> read_sentencepiece(const JsonField& root, const std::string& source) {
  const JsonField squeeze = root["tokenizer.ggml.remove_extra_whitespaces"];
  if (squeeze.boolean_or(false)) squeeze.fail("false where tokenizer.ggml.model is \"llama\"");
  const JsonField charsmap = root["tokenizer.ggml.precompiled_charsmap"];
  if (!charsmap.is_null()) charsmap.fail("none where tokenizer.ggml.model is \"llama\"");
  VocabularyTables tables;
  read_gguf_tokens(root, tables);
  read_gguf_scores(root, tables);
  const TextEnds ends = read_gguf_ends(root, tables, true);
  size_t count = tables.tokens.size();
  while (count > 0 && tables.token_type[count - 1] == GgufTokenType::unused) --count;

  SentencepieceModel model;
  model.algorithm = SentencepieceModel::Algorithm::bpe;
  model.pieces = std::move(tables.tokens);
  model.scores = std::move(tables.scores);
  model.types = std::move(tables.token_type);
  model.pieces.resize(count);
  model.scores.resize(count);
  model.types.resize(count);
  model.byte_fallback = true;
  model.add_dummy_prefix = root["tokenizer.ggml.add_space_prefix"].boolean_or(true);
  model.remove_extra_whitespaces = false;
  model.bos = ends.bos;
  model.eos = ends.eos;
  check_sentencepiece_model(model, {source,
                                    {"tokenizer.ggml.tokens[", "]"},
                                    {"tokenizer.ggml.scores[", "]"},
                                    {"tokenizer.ggml.token_type[", "]"}});
  return std::make_unique<SentencepieceTokenizer>(std::move(model), source);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer_gguf(const nlohmann::json& metadata,
                                               const std::string& source) {
  const JsonField root(metadata, source);
  const JsonField model = root["tokenizer.ggml.model"];
  if (model.is_null() && root["tokenizer.ggml.tokens"].is_null()) return nullptr;
  if (model.string() == "none") return nullptr;  // llama.cpp's word for a file without one
  if (model.string() == "gpt2") return read_byte_level(root);
  if (model.string() == "llama") return read_sentencepiece(root, source);
  model.fail("\"gpt2\" (byte-level BPE) or \"llama\" (sentencepiece)");
}

}  // namespace krait
