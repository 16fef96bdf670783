#include "src/tokenizer/metaspace_json.h"

#include <string_view>
#include <utility>

#include "src/base/json.h"
#include "src/tokenizer/bpe_tokenizer_json.h"
#include "src/tokenizer/metaspace.h"

namespace krait {
namespace {

void expect_string(const JsonField& field, std::string_view value) {
  if (field.string() != value) field.fail(quote(value));
}

void expect_replace(const JsonField& step, std::string_view from, std::string_view to) {
  expect_string(step["type"], "Replace");
  step.expect_members({"type", "pattern", "content"});
  step["pattern"].expect_members({"String"});
  expect_string(step["pattern"]["String"], from);
  expect_string(step["content"], to);
}

// Replace, or Prepend and Replace in a Sequence.
void read_normalizer(const JsonField& normalizer, MetaspaceParts& parts) {
  parts.in_normalizer = true;
  if (normalizer["type"].string() != "Sequence") return expect_replace(normalizer, " ", kMetaspace);
  normalizer.expect_members({"type", "normalizers"});
  const JsonField list = normalizer["normalizers"];
  if (list.size() < 1 || list.size() > 2) list.fail("Prepend and Replace");
  if (list.size() == 2) {
    const JsonField prepend = list[size_t{0}];
    expect_string(prepend["type"], "Prepend");
    prepend.expect_members({"type", "prepend"});
    expect_string(prepend["prepend"], kMetaspace);
    parts.prepend = PrependScheme::anything;
  }
  expect_replace(list[list.size() - 1], " ", kMetaspace);
}

PrependScheme read_scheme(const JsonField& metaspace) {
  const JsonField scheme = metaspace["prepend_scheme"];
  const JsonField legacy = metaspace["add_prefix_space"];
  if (scheme.is_null())
    return legacy.boolean_or(true) ? PrependScheme::always : PrependScheme::never;
  if (scheme.string() == "never") {
    if (legacy.boolean_or(false)) legacy.fail("false where prepend_scheme is \"never\"");
    return PrependScheme::never;
  }
  if (scheme.string() == "first") return PrependScheme::first;
  if (scheme.string() == "always") return PrependScheme::always;
  scheme.fail("first, always or never");
}

void read_metaspace(const JsonField& metaspace, MetaspaceParts& parts) {
  expect_string(metaspace["type"], "Metaspace");
  // Early files also say how the replacement looks when printed.
  metaspace.expect_members(
      {"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  expect_string(metaspace["replacement"], kMetaspace);
  parts.prepend = read_scheme(metaspace);
  parts.split = metaspace["split"].boolean_or(true);
}

void read_spaces(const JsonField& root, MetaspaceParts& parts) {
  const JsonField normalizer = root["normalizer"];
  const JsonField pre_tokenizer = root["pre_tokenizer"];
  if (normalizer.is_null()) {
    if (pre_tokenizer.is_null()) pre_tokenizer.fail("Metaspace where there is no normalizer");
    return read_metaspace(pre_tokenizer, parts);
  }
  read_normalizer(normalizer, parts);
  if (!pre_tokenizer.is_null()) pre_tokenizer.fail("null where the normalizer replaces spaces");
}

// Replace, ByteFallback, Fuse and perhaps Strip.
void read_decoder(const JsonField& decoder, MetaspaceParts& parts) {
  if (decoder.is_null()) decoder.fail("a Sequence");
  expect_string(decoder["type"], "Sequence");
  decoder.expect_members({"type", "decoders"});
  const JsonField list = decoder["decoders"];
  if (list.size() != 3 && list.size() != 4) list.fail("Replace, ByteFallback, Fuse and Strip");
  expect_replace(list[size_t{0}], kMetaspace, " ");
  expect_string(list[1]["type"], "ByteFallback");
  expect_string(list[2]["type"], "Fuse");
  if (list.size() == 3) return;
  const JsonField strip = list[3];
  expect_string(strip["type"], "Strip");
  strip.expect_members({"type", "content", "start", "stop"});
  expect_string(strip["content"], " ");
  strip["start"].integer(1, 1);
  strip["stop"].integer(0, 0);
  parts.strips_leading_space = true;
}

void read_model(const JsonField& model, MetaspaceParts& parts) {
  parts.vocabulary = read_bpe_vocabulary(model, bytes_of_metaspace_token);
  CharacterRules rules;
  rules.byte_fallback = model["byte_fallback"].boolean_or(false);
  rules.fuse_unknown = model["fuse_unk"].boolean_or(false);
  rules.whole_words = model["ignore_merges"].boolean_or(false);
  const JsonField unknown = model["unk_token"];
  if (!unknown.is_null()) {
    rules.unknown = parts.vocabulary->find(unknown.string());
    if (rules.unknown < 0) unknown.fail("a token of model.vocab");
  }
  parts.bpe = std::make_unique<Bpe>(*parts.vocabulary,
                                    read_bpe_merges(model["merges"], *parts.vocabulary), rules);
}

}  // namespace

bool writes_spaces_as_characters(const JsonField& root) {
  const JsonField pre_tokenizer = root["pre_tokenizer"];
  if (!pre_tokenizer.is_null() && pre_tokenizer["type"].string() == "Metaspace") return true;
  return root["model"]["byte_fallback"].boolean_or(false);
}

std::unique_ptr<Tokenizer> read_metaspace_tokenizer(const JsonField& root) {
  MetaspaceParts parts;
  read_spaces(root, parts);
  read_decoder(root["decoder"], parts);
  read_model(root["model"], parts);
  const auto normalize = [&](std::string_view text, std::string& storage) -> std::string_view {
    if (!parts.in_normalizer) return text;
    return storage = with_metaspaces(text, parts.prepend == PrependScheme::anything);
  };
  read_added_tokens(root["added_tokens"], normalize, bytes_of_metaspace_token, parts);
  read_post_processor(root["post_processor"], parts);
  return std::make_unique<MetaspaceTokenizer>(std::move(parts));
}

}  // namespace krait
