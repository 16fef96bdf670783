#include "src/tokenizer/bpe_json.h"

#include <string>
#include <utility>
#include <vector>

#include "src/base/json.h"
#include "src/tokenizer/byte_alphabet.h"

namespace krait {
namespace {

using nlohmann::json;

bool occurs_in_utf8(int byte) { return byte < 0xC0 || (byte > 0xC1 && byte < 0xF5); }

bool has_all_bytes(const Bpe& bpe) {
  for (int byte = 0; byte < 256; ++byte)
    if (occurs_in_utf8(byte) && bpe.byte_token(static_cast<unsigned char>(byte)) < 0) return false;
  return true;
}

void expect_plain_model(const JsonField& model) {
  // Early files have no type.
  if (!model["type"].is_null() && model["type"].string() != "BPE") model["type"].fail("\"BPE\"");
  model.expect_members({"type", "dropout", "unk_token", "continuing_subword_prefix",
                        "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                        "merges"});
  const JsonField dropout = model["dropout"];
  if (!dropout.is_null() && dropout.value() != 0) dropout.fail("null or 0");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model[name].is_null() && !model[name].string().empty())
      model[name].fail("null, as byte-level BPE has none");
  if (model["byte_fallback"].boolean_or(false))
    model["byte_fallback"].fail("false: krait reads byte-level BPE only");
}

std::unique_ptr<Vocabulary> read_vocabulary(const JsonField& vocab) {
  if (!vocab.value().is_object()) vocab.fail("an object");
  auto vocabulary = std::make_unique<Vocabulary>();
  for (const auto& [text, value] : vocab.value().items()) {
    const bool small = value.is_number_unsigned() && value.get<uint64_t>() <= kMaxTokenId;
    // vocab[text] is looked up again only where there is something to complain of.
    const auto id = small ? value.get<int32_t>() : vocab[text].integer(0, kMaxTokenId);
    if (text.empty()) continue;  // such an id stands for nothing, as one without a string
    if (!vocabulary->text(id).empty())
      vocab[text].fail("another id: this one is that of " + quote(vocabulary->text(id)));
    add_token(*vocabulary, id, text, text);
  }
  return vocabulary;
}

// Both halves of a merge: ["a", "b"], or in early files "a b".
std::pair<std::string, std::string> halves(const JsonField& merges, size_t rank) {
  const json& merge = merges.value()[rank];
  if (merge.is_array()) {
    const JsonField pair = merges[rank];
    if (pair.size() != 2) pair.fail("two strings");
    return {pair[size_t{0}].string(), pair[size_t{1}].string()};
  }
  if (!merge.is_string()) merges[rank].fail("two strings, or one with a space between both parts");
  const auto& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    merges[rank].fail("two parts with one space between them");
  return {text.substr(0, space), text.substr(space + 1)};
}

std::vector<Merge> read_merges(const JsonField& merges, const Vocabulary& vocabulary) {
  std::vector<Merge> list;
  list.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    // A headline that merges.txt files have; in this notation it is skipped wherever it stands.
    const json& merge = merges.value()[i];
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = halves(merges, i);
    const auto id_of = [&](const std::string& text) {
      const int32_t id = vocabulary.find(text);
      if (id < 0)
        merges[i].fail("parts and a result that are in model.vocab; " + quote(text) + " is not");
      return id;
    };
    list.push_back({id_of(left), id_of(right), id_of(left + right)});
  }
  return list;
}

}  // namespace

void add_token(Vocabulary& vocabulary, int32_t id, std::string_view text,
               std::string_view meaning) {
  vocabulary.add(id, text, bytes_from_alphabet(meaning).value_or(std::string(meaning)));
}

BpeModel read_bpe_model(const JsonField& model) {
  expect_plain_model(model);
  BpeModel read;
  read.vocabulary = read_vocabulary(model["vocab"]);
  const std::vector<Merge> merges = read_merges(model["merges"], *read.vocabulary);
  read.bpe =
      std::make_unique<Bpe>(*read.vocabulary, merges, model["ignore_merges"].boolean_or(false));
  // With a token for every byte nothing is unknown. Else an unknown token would have to appear.
  if (!model["unk_token"].is_null() && !has_all_bytes(*read.bpe))
    model["unk_token"].fail("null, as model.vocab does not have all bytes");
  return read;
}

}  // namespace krait
