#include "src/tokenizer/byte_level.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "krait/error.h"
#include "src/base/utf8.h"

namespace krait {
namespace {

std::vector<AddedToken> select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> selected;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(selected),
               [normalized](const AddedToken& token) { return token.normalized == normalized; });
  return selected;
}

}  // namespace

// What one call of encode needs.
struct ByteLevelTokenizer::Work {
  const EncodeOptions& options;
  PreTokenizer::Workspace pre_tokenizer;
  std::vector<int32_t> ids;
};

ByteLevelTokenizer::ByteLevelTokenizer(ByteLevelParts parts)
    : parts_(std::move(parts)),
      in_text_(select(parts_.added_tokens, false)),
      in_normalized_(select(parts_.added_tokens, true)),
      special_(static_cast<size_t>(parts_.vocabulary->size())) {
  for (const AddedToken& token : parts_.added_tokens)
    special_[static_cast<size_t>(token.id)] = token.special;
}

std::vector<int32_t> ByteLevelTokenizer::encode(std::string_view text,
                                                const EncodeOptions& options) const {
  std::string repaired;
  if (!is_valid_utf8(text)) text = repaired = repair_utf8(text);
  Work work{options, parts_.pre_tokenizer.workspace(), {}};
  work.ids.reserve(text.size() / 4 + parts_.prefix.size() + parts_.suffix.size());
  if (options.add_special_tokens) work.ids = parts_.prefix;
  in_text_.split(text, options.parse_special_tokens, [&](std::string_view stretch, int32_t id) {
    if (id >= 0) return work.ids.push_back(id);
    std::string storage;
    encode_normalized(parts_.normalizer.apply(stretch, storage), work);
  });
  if (options.add_special_tokens)
    work.ids.insert(work.ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  return std::move(work.ids);
}

void ByteLevelTokenizer::encode_normalized(std::string_view text, Work& work) const {
  const auto encode_piece = [&](std::string_view piece) { parts_.bpe->encode(piece, work.ids); };
  in_normalized_.split(text, work.options.parse_special_tokens,
                       [&](std::string_view stretch, int32_t id) {
                         if (id >= 0) return work.ids.push_back(id);
                         std::string with_space;
                         if (parts_.add_prefix_space && stretch[0] != ' ')
                           stretch = with_space = " " + std::string(stretch);
                         parts_.pre_tokenizer.split(stretch, work.pre_tokenizer, encode_piece);
                       });
}

std::string ByteLevelTokenizer::token_bytes(int32_t id, bool keep_special) const {
  if (id < 0) throw InputError("token id " + std::to_string(id) + " is negative");
  if (is_special(id) && !keep_special) return {};
  return std::string(parts_.vocabulary->bytes(id));
}

std::string_view ByteLevelTokenizer::token_text(int32_t id) const noexcept {
  return parts_.vocabulary->text(id);
}

bool ByteLevelTokenizer::is_special(int32_t id) const noexcept {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

int32_t ByteLevelTokenizer::find(std::string_view token_text) const noexcept {
  return parts_.vocabulary->find(token_text);
}

}  // namespace krait
