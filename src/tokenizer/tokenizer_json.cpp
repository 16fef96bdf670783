// Reads a Hugging Face tokenizer.json (huggingface/tokenizers, tokenizers/src/tokenizer/
// serialization.rs): one object for each stage of the work, told apart by "type".
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "krait/error.h"
#include "krait/tokenizer.h"
#include "src/base/json.h"
#include "src/tokenizer/bpe_json.h"
#include "src/tokenizer/byte_level.h"
#include "src/tokenizer/json_field.h"

namespace krait {
namespace {

void read_normal_forms(const JsonField& normalizer, std::vector<NormalForm>& forms) {
  if (normalizer.is_null()) return;
  const std::string& type = normalizer["type"].string();
  if (type == "Sequence") {
    normalizer.expect_members({"type", "normalizers"});
    const JsonField list = normalizer["normalizers"];
    for (size_t i = 0; i < list.size(); ++i) read_normal_forms(list[i], forms);
    return;
  }
  normalizer.expect_members({"type"});
  if (type == "NFC") return forms.push_back(NormalForm::nfc);
  if (type == "NFD") return forms.push_back(NormalForm::nfd);
  if (type == "NFKC") return forms.push_back(NormalForm::nfkc);
  if (type == "NFKD") return forms.push_back(NormalForm::nfkd);
  normalizer["type"].fail("NFC, NFD, NFKC, NFKD or Sequence");
}

struct PreTokenizerSteps {
  std::vector<SplitStep> steps;
  bool byte_level = false;  // seen; it comes last
  bool add_prefix_space = false;
};

void read_pre_tokenizer(const JsonField& pre_tokenizer, PreTokenizerSteps& read) {
  if (pre_tokenizer.is_null()) pre_tokenizer.fail("ByteLevel");
  const JsonField type = pre_tokenizer["type"];
  if (type.string() == "Sequence") {
    pre_tokenizer.expect_members({"type", "pretokenizers"});
    const JsonField list = pre_tokenizer["pretokenizers"];
    for (size_t i = 0; i < list.size(); ++i) read_pre_tokenizer(list[i], read);
    return;
  }
  if (read.byte_level) type.fail("no step after ByteLevel");
  if (type.string() == "Digits") {
    pre_tokenizer.expect_members({"type", "individual_digits"});
    read.steps.push_back(digits_step(pre_tokenizer["individual_digits"].boolean()));
  } else if (type.string() == "ByteLevel") {
    pre_tokenizer.expect_members({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    read.byte_level = true;
    const JsonField prefix = pre_tokenizer["add_prefix_space"];
    read.add_prefix_space = prefix.boolean();
    // It would put a space before every piece of the steps before.
    if (read.add_prefix_space && !read.steps.empty()) prefix.fail("false after another step");
    if (pre_tokenizer["use_regex"].boolean_or(true)) read.steps.push_back(gpt2_step());
  } else {
    type.fail("ByteLevel, Digits or Sequence");
  }
}

void expect_byte_level_decoder(const JsonField& decoder) {
  if (decoder.is_null()) decoder.fail("ByteLevel");
  if (decoder["type"].string() != "ByteLevel") decoder["type"].fail("ByteLevel");
  decoder.expect_members({"type", "add_prefix_space", "trim_offsets", "use_regex"});
}

void read_added_tokens(const JsonField& list, ByteLevelParts& parts) {
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
    const std::string_view found = normalized ? parts.normalizer.apply(content, storage) : content;
    if (known < 0) add_token(*parts.vocabulary, id, content, found);
    parts.added_tokens.push_back({id, std::string(found), token["special"].boolean(), normalized,
                                  token["single_word"].boolean(), token["lstrip"].boolean(),
                                  token["rstrip"].boolean()});
  }
}

// A template for one text: special tokens, the text, special tokens.
void read_template(const JsonField& processor, ByteLevelParts& parts) {
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

void read_post_processor(const JsonField& processor, ByteLevelParts& parts) {
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

ByteLevelParts read_parts(const JsonField& root) {
  // Truncation and padding are for batches of equal length; generation wants neither.
  root.expect_members({"version", "truncation", "padding", "added_tokens", "normalizer",
                       "pre_tokenizer", "post_processor", "decoder", "model"});
  const JsonField version = root["version"];
  if (!version.is_null() && version.string() != "1.0") version.fail("\"1.0\"");

  std::vector<NormalForm> forms;
  read_normal_forms(root["normalizer"], forms);
  PreTokenizerSteps split;
  read_pre_tokenizer(root["pre_tokenizer"], split);
  if (!split.byte_level) root["pre_tokenizer"].fail("a ByteLevel step");
  expect_byte_level_decoder(root["decoder"]);
  BpeModel model = read_bpe_model(root["model"]);

  ByteLevelParts parts{std::move(model.vocabulary),
                       std::move(model.bpe),
                       {},
                       Normalizer(std::move(forms)),
                       PreTokenizer(std::move(split.steps)),
                       split.add_prefix_space,
                       {},
                       {}};
  read_added_tokens(root["added_tokens"], parts);
  read_post_processor(root["post_processor"], parts);
  return parts;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer_json(const std::string& path) {
  const nlohmann::json document = read_json_file(path);
  return std::make_unique<ByteLevelTokenizer>(read_parts(JsonField(document, path)));
}

}  // namespace krait
