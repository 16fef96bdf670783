#include "src/tokenizer/gguf_tables.h"

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {

void fail_gguf(const std::string& what) {
  throw InputError("a GGUF file has no words for this tokenizer: " + what);
}

void add_tokens(const Vocabulary& vocabulary, const std::vector<AddedToken>& added,
                VocabularyTables& tables) {
  const auto count = static_cast<size_t>(vocabulary.size());
  tables.tokens.reserve(count);
  tables.token_type.assign(count, GgufTokenType::normal);
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    tables.tokens.emplace_back(vocabulary.text(id));
    if (!tables.tokens.back().empty()) continue;
    tables.tokens.back() = "[PAD" + std::to_string(id) + "]";
    tables.token_type[static_cast<size_t>(id)] = GgufTokenType::unused;
  }
  for (const AddedToken& token : added) {
    if (token.single_word || token.lstrip || token.rstrip)
      fail_gguf("added token " + quote(vocabulary.text(token.id)) +
                " has single_word, lstrip or rstrip");
    tables.token_type[static_cast<size_t>(token.id)] =
        token.special ? GgufTokenType::control : GgufTokenType::user_defined;
  }
}

void add_template(const std::vector<int32_t>& prefix, const std::vector<int32_t>& suffix,
                  VocabularyTables& tables) {
  if (prefix.size() > 1 || suffix.size() > 1)
    fail_gguf("the post-processor adds more than one token at one end of a text");
  tables.add_bos_token = !prefix.empty();
  tables.add_eos_token = !suffix.empty();
}

}  // namespace krait
