#include "src/tokenizer/byte_level_json.h"

#include <string>
#include <utility>
#include <vector>

#include "src/tokenizer/bpe_tokenizer_json.h"
#include "src/tokenizer/byte_alphabet.h"
#include "src/tokenizer/byte_level.h"
#include "src/tokenizer/pretokenizer_json.h"

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

void expect_byte_level_decoder(const JsonField& decoder) {
  if (decoder.is_null()) decoder.fail("ByteLevel");
  if (decoder["type"].string() != "ByteLevel") decoder["type"].fail("ByteLevel");
  decoder.expect_members({"type", "add_prefix_space", "trim_offsets", "use_regex"});
}

bool occurs_in_utf8(int byte) { return byte < 0xC0 || (byte > 0xC1 && byte < 0xF5); }

bool has_all_bytes(const Bpe& bpe) {
  for (int byte = 0; byte < 256; ++byte)
    if (occurs_in_utf8(byte) && bpe.byte_token(static_cast<unsigned char>(byte)) < 0) return false;
  return true;
}

// What spells no bytes stands for itself.
std::string bytes_of(std::string_view text) {
  return bytes_from_alphabet(text).value_or(std::string(text));
}

void read_model(const JsonField& model, BpeParts& parts) {
  if (model["byte_fallback"].boolean_or(false))
    model["byte_fallback"].fail("false, as bytes are characters on the byte level");
  parts.vocabulary = read_bpe_vocabulary(model, bytes_of);
  parts.bpe =
      std::make_unique<Bpe>(*parts.vocabulary, read_bpe_merges(model["merges"], *parts.vocabulary),
                            model["ignore_merges"].boolean_or(false));
  // With a token for every byte nothing is unknown. Else an unknown token would have to appear.
  if (!model["unk_token"].is_null() && !has_all_bytes(*parts.bpe))
    model["unk_token"].fail("null, as model.vocab does not have all bytes");
}

}  // namespace

std::unique_ptr<Tokenizer> read_byte_level_tokenizer(const JsonField& root) {
  std::vector<NormalForm> forms;
  read_normal_forms(root["normalizer"], forms);
  ByteLevelSplit split = read_byte_level_split(root["pre_tokenizer"]);
  expect_byte_level_decoder(root["decoder"]);
  ByteLevelParts parts;
  read_model(root["model"], parts);
  parts.normalizer = Normalizer(std::move(forms));
  parts.pre_tokenizer = PreTokenizer(std::move(split.steps));
  parts.add_prefix_space = split.add_prefix_space;
  const auto normalize = [&](std::string_view text, std::string& storage) {
    return parts.normalizer.apply(text, storage);
  };
  read_added_tokens(root["added_tokens"], normalize, bytes_of, parts);
  read_post_processor(root["post_processor"], parts);
  return std::make_unique<ByteLevelTokenizer>(std::move(parts));
}

}  // namespace krait
