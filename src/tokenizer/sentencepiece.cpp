#include "src/tokenizer/sentencepiece.h"

#include <sentencepiece_processor.h>

#include "krait/error.h"
#include "src/base/utf8.h"
#include "src/tokenizer/gguf_tables.h"
#include "src/tokenizer/metaspace.h"

namespace krait {
namespace {

constexpr size_t kMaxStretch = size_t{1} << 29;  // the library counts in int, three bytes a space

std::string bytes_of(const SentencepieceModel& model, size_t id) {
  const std::string& piece = model.pieces[id];
  switch (model.types[id]) {
    case GgufTokenType::unknown: return model.unknown_surface;
    case GgufTokenType::control: return piece;
    case GgufTokenType::byte: return std::string(1, static_cast<char>(byte_of_piece(piece)));
    default: return without_metaspaces(piece);
  }
}

Vocabulary vocabulary_of(const SentencepieceModel& model) {
  Vocabulary vocabulary;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    vocabulary.add(static_cast<int32_t>(id), model.pieces[id], bytes_of(model, id));
  return vocabulary;
}

// Pieces that text gives only when special tokens are asked for.
std::vector<AddedToken> control_tokens(const SentencepieceModel& model) {
  std::vector<AddedToken> tokens;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (model.types[id] == GgufTokenType::control || model.types[id] == GgufTokenType::unknown)
      tokens.push_back(
          {.id = static_cast<int32_t>(id), .content = model.pieces[id], .special = true});
  return tokens;
}

std::unique_ptr<sentencepiece::SentencePieceProcessor> make_processor(
    const SentencepieceModel& model, const std::string& source) {
  auto processor = std::make_unique<sentencepiece::SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto(serialize(model));
  if (!status.ok())
    throw InputError(source + ": sentencepiece refuses the model: " + status.ToString());
  return processor;
}

}  // namespace

SentencepieceTokenizer::SentencepieceTokenizer(SentencepieceModel model, const std::string& source)
    : model_(std::move(model)),
      vocabulary_(vocabulary_of(model_)),
      control_(control_tokens(model_)),
      at_start_(make_processor(model_, source)) {
  if (!model_.add_dummy_prefix) return;
  SentencepieceModel inside = model_;
  inside.add_dummy_prefix = false;
  inside_ = make_processor(inside, source);
}

SentencepieceTokenizer::~SentencepieceTokenizer() = default;

std::string_view SentencepieceTokenizer::kind() const noexcept {
  return model_.algorithm == SentencepieceModel::Algorithm::bpe ? "sentencepiece BPE"
                                                                : "sentencepiece unigram";
}

// The dummy prefix comes before text at the very start only, as in Hugging Face's fast tokenizers
// ("prepend_scheme": "first"): behind "[INST]" a chat template writes the space itself.
// mistral-common, which encodes the parts of a chat one by one, comes to the same ids.
std::vector<int32_t> SentencepieceTokenizer::encode(std::string_view text,
                                                    const EncodeOptions& options) const {
  std::string repaired;
  if (!is_valid_utf8(text)) text = repaired = repair_utf8(text);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 2);
  if (options.add_special_tokens && model_.bos >= 0) ids.push_back(model_.bos);
  control_.split(text, options.parse_special_tokens, [&](std::string_view stretch, int32_t id) {
    if (id >= 0) return ids.push_back(id);
    const bool at_start = (stretch.data() == text.data() && !options.continues) || !inside_;
    encode_stretch(at_start ? *at_start_ : *inside_, stretch, ids);
  });
  if (options.add_special_tokens && model_.eos >= 0) ids.push_back(model_.eos);
  return ids;
}

void SentencepieceTokenizer::encode_stretch(const Processor& processor, std::string_view text,
                                            std::vector<int32_t>& ids) const {
  if (text.size() > kMaxStretch)
    throw InputError("the text has " + std::to_string(text.size()) + " bytes; expected at most " +
                     std::to_string(kMaxStretch));
  std::vector<int> found;
  const auto status = processor.Encode({text.data(), text.size()}, &found);
  if (!status.ok()) throw Failure("sentencepiece cannot encode the text: " + status.ToString());
  ids.insert(ids.end(), found.begin(), found.end());
}

std::string SentencepieceTokenizer::token_bytes(int32_t id, bool keep_special) const {
  if (id < 0) throw InputError("token id " + std::to_string(id) + " is negative");
  if (is_special(id) && !keep_special) return {};
  return std::string(vocabulary_.bytes(id));
}

std::string_view SentencepieceTokenizer::token_text(int32_t id) const noexcept {
  return vocabulary_.text(id);
}

bool SentencepieceTokenizer::is_special(int32_t id) const noexcept {
  return id >= 0 && id < vocab_size() &&
         model_.types[static_cast<size_t>(id)] == GgufTokenType::control;
}

int32_t SentencepieceTokenizer::find(std::string_view token_text) const noexcept {
  return vocabulary_.find(token_text);
}

bool SentencepieceTokenizer::strips_leading_space() const noexcept {
  return model_.add_dummy_prefix || model_.remove_extra_whitespaces;
}

VocabularyTables SentencepieceTokenizer::tables() const {
  if (model_.algorithm != SentencepieceModel::Algorithm::bpe) fail_gguf("it is a unigram model");
  if (!model_.charsmap.empty()) fail_gguf("it has normalisation rules");
  if (model_.remove_extra_whitespaces) fail_gguf("it removes extra white space");
  if (!model_.byte_fallback) fail_gguf("it has no byte_fallback");
  VocabularyTables tables;
  tables.model = "llama";
  tables.tokens = model_.pieces;
  tables.token_type = model_.types;
  tables.scores = model_.scores;
  tables.add_bos_token = model_.bos >= 0;
  tables.add_eos_token = model_.eos >= 0;
  tables.add_space_prefix = model_.add_dummy_prefix;
  return tables;
}

}  // namespace krait
