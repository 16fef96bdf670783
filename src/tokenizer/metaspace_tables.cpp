// A tokenizer in the style of Llama in the words of GGUF files.
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json.h"
#include "src/tokenizer/gguf_tables.h"
#include "src/tokenizer/metaspace.h"

namespace krait {
namespace {

// Sets the scores: minus the rank of a token's first merge. Readers of GGUF merge whatever two
// tokens make a third, highest score first: so all the merges of a token must stand together, and
// every two tokens that make it must be among them.
void add_scores(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                VocabularyTables& tables) {
  std::vector<size_t> ways(tables.tokens.size());
  tables.scores.assign(tables.tokens.size(), 0);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto result = static_cast<size_t>(merges[rank].result);
    const bool again = rank > 0 && merges[rank - 1].result == merges[rank].result;
    if (ways[result] > 0 && !again)
      fail_gguf("the merges that make " + quote(tables.tokens[result]) + " do not stand together");
    if (++ways[result] == 1) tables.scores[result] = -static_cast<float>(rank);
  }
  const auto is_ordinary = [&](int32_t id) {
    return id >= 0 && tables.token_type[static_cast<size_t>(id)] == GgufTokenType::normal;
  };
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!is_ordinary(id)) continue;
    const std::string_view text = vocabulary.text(id);
    size_t splits = 0;
    for (size_t at = utf8_unit(text, 0).length; at < text.size(); at += utf8_unit(text, at).length)
      splits += is_ordinary(vocabulary.find(text.substr(0, at))) &&
                is_ordinary(vocabulary.find(text.substr(at)));
    if (splits > ways[static_cast<size_t>(id)])
      fail_gguf("two tokens make " + quote(text) + " that no merge joins");
  }
}

}  // namespace

VocabularyTables MetaspaceTokenizer::tables() const {
  const Bpe& bpe = *parts().bpe;
  const CharacterRules& rules = *bpe.characters();
  if (rules.whole_words) fail_gguf("ignore_merges is true");
  VocabularyTables tables;
  tables.model = "llama";
  add_tokens(*parts().vocabulary, parts().added_tokens, tables);
  for (int byte = 0; byte < 256; ++byte) {
    const int32_t id = bpe.byte_token(static_cast<unsigned char>(byte));
    if (id < 0) fail_gguf("bytes have no tokens");
    tables.token_type[static_cast<size_t>(id)] = GgufTokenType::byte;
  }
  if (rules.unknown >= 0)
    tables.token_type[static_cast<size_t>(rules.unknown)] = GgufTokenType::unknown;
  const std::vector<Merge> merges = bpe.merges();
  if (split_)
    for (const Merge& merge : merges)
      if (parts().vocabulary->text(merge.result).find(kMetaspace, 1) != std::string_view::npos)
        fail_gguf("text is split at spaces, which tokens contain");
  add_scores(*parts().vocabulary, merges, tables);
  // Their readers put the space before every text and after every special token, also where there
  // is one already. Like all who write these files krait takes "first" and "always" for that.
  tables.add_space_prefix = prepend_ != PrependScheme::never;
  add_template(parts().prefix, parts().suffix, tables);
  return tables;
}

}  // namespace krait
