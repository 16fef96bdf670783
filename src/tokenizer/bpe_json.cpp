#include "src/tokenizer/bpe_json.h"

#include <string>
#include <utility>
#include <vector>

#include "src/base/json.h"

namespace krait {
namespace {

using nlohmann::json;

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
      model[name].fail("null: krait knows no marks of subwords");
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

}  // namespace

std::unique_ptr<Vocabulary> read_bpe_vocabulary(const JsonField& model, BytesOf bytes_of) {
  expect_plain_model(model);
  const JsonField vocab = model["vocab"];
  if (!vocab.value().is_object()) vocab.fail("an object");
  auto vocabulary = std::make_unique<Vocabulary>();
  for (const auto& [text, value] : vocab.value().items()) {
    const bool small = value.is_number_unsigned() && value.get<uint64_t>() <= kMaxTokenId;
    // vocab[text] is looked up again only where there is something to complain of.
    const auto id = small ? value.get<int32_t>() : vocab[text].integer(0, kMaxTokenId);
    if (text.empty()) continue;  // such an id stands for nothing, as one without a string
    if (!vocabulary->text(id).empty())
      vocab[text].fail("another id: this one is that of " + quote(vocabulary->text(id)));
    vocabulary->add(id, text, bytes_of(text));
  }
  return vocabulary;
}

std::vector<Merge> read_bpe_merges(const JsonField& merges, const Vocabulary& vocabulary) {
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
        merges[i].fail("parts and a result that are in the vocabulary; " + quote(text) + " is not");
      return id;
    };
    list.push_back({id_of(left), id_of(right), id_of(left + right)});
  }
  return list;
}

}  // namespace krait
