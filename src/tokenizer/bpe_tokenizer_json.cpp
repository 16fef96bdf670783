#include "src/tokenizer/bpe_tokenizer_json.h"

#include <vector>

#include "src/base/json.h"

namespace krait {
namespace {

// A template for one text: special tokens, the text, special tokens.
void read_template(const JsonField& processor, BpeParts& parts) {
  processor.expect_members({"type", "single", "pair", "special_tokens"});
  const JsonField pieces = processor["single"];
  bool text_seen = false;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const JsonField piece = pieces[i];
    piece.expect_members({"Sequence", "SpecialToken"});
    const JsonField sequence = piece["Sequence"];
    if (!sequence.is_null()) {
      if (sequence["id"].string() != "A" || text_seen) sequence["id"].fail("\"A\", and that once");
      text_seen = true;
      continue;
    }
    const std::string& name = piece["SpecialToken"]["id"].string();
    const JsonField ids = processor["special_tokens"][name]["ids"];
    for (size_t k = 0; k < ids.size(); ++k) {
      const int32_t id = ids[k].integer(0, kMaxTokenId);
      if (parts.vocabulary->text(id).empty()) ids[k].fail("the id of a token");
      (text_seen ? parts.suffix : parts.prefix).push_back(id);
    }
  }
  if (!text_seen) pieces.fail("a place for the text: {\"Sequence\": {\"id\": \"A\"}}");
}

}  // namespace

void read_added_tokens(const JsonField& list, const NormalizeFunction& normalize, BytesOf bytes_of,
                       BpeParts& parts) {
  if (list.is_null()) return;
  std::vector<bool> seen(static_cast<size_t>(kMaxTokenId) + 1);
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonField token = list[i];
    token.expect_members(
        {"id", "content", "special", "normalized", "single_word", "lstrip", "rstrip"});
    const int32_t id = token["id"].integer(0, kMaxTokenId);
    const std::string& content = token["content"].string();
    if (content.empty()) token["content"].fail("at least one character");
    if (seen[static_cast<size_t>(id)]) token["id"].fail("an id that no token before has");
    seen[static_cast<size_t>(id)] = true;
    const int32_t known = parts.vocabulary->find(content);
    if (known >= 0 && known != id)
      token["id"].fail(std::to_string(known) + ", the id that " + quote(content) + " has already");
    const std::string_view other = parts.vocabulary->text(id);
    if (known < 0 && !other.empty())
      token["id"].fail("another id: this one is that of " + quote(other));
    const bool normalized = token["normalized"].boolean();
    std::string storage;
    const std::string_view found = normalized ? normalize(content, storage) : content;
    if (known < 0) parts.vocabulary->add(id, content, bytes_of(found));
    parts.added_tokens.push_back({id, std::string(found), token["special"].boolean(), normalized,
                                  token["single_word"].boolean(), token["lstrip"].boolean(),
                                  token["rstrip"].boolean()});
  }
}

void read_post_processor(const JsonField& processor, BpeParts& parts) {
  if (processor.is_null()) return;
  const JsonField type = processor["type"];
  if (type.string() == "Sequence") {
    processor.expect_members({"type", "processors"});
    const JsonField list = processor["processors"];
    for (size_t i = 0; i < list.size(); ++i) read_post_processor(list[i], parts);
  } else if (type.string() == "TemplateProcessing") {
    if (!parts.prefix.empty() || !parts.suffix.empty()) type.fail("one TemplateProcessing at most");
    read_template(processor, parts);
  } else if (type.string() != "ByteLevel") {  // which only concerns offsets
    type.fail("ByteLevel, TemplateProcessing or Sequence");
  }
}

}  // namespace krait
