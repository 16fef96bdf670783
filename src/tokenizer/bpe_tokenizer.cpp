#include "src/tokenizer/bpe_tokenizer.h"

#include <algorithm>
#include <iterator>

#include "krait/error.h"

namespace krait {
namespace {

std::vector<AddedToken> select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> selected;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(selected),
               [normalized](const AddedToken& token) { return token.normalized == normalized; });
  return selected;
}

}  // namespace

BpeTokenizer::BpeTokenizer(BpeParts parts)
    : parts_(std::move(parts)),
      in_text_(select(parts_.added_tokens, false)),
      in_normalized_(select(parts_.added_tokens, true)),
      special_(static_cast<size_t>(parts_.vocabulary->size())) {
  for (const AddedToken& token : parts_.added_tokens)
    special_[static_cast<size_t>(token.id)] = token.special;
}

std::string BpeTokenizer::token_bytes(int32_t id, bool keep_special) const {
  if (id < 0) throw InputError("token id " + std::to_string(id) + " is negative");
  if (is_special(id) && !keep_special) return {};
  return std::string(parts_.vocabulary->bytes(id));
}

std::string_view BpeTokenizer::token_text(int32_t id) const noexcept {
  return parts_.vocabulary->text(id);
}

bool BpeTokenizer::is_special(int32_t id) const noexcept {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

int32_t BpeTokenizer::find(std::string_view token_text) const noexcept {
  return parts_.vocabulary->find(token_text);
}

}  // namespace krait
