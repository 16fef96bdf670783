#include "src/tokenizer/vocabulary.h"

#include <limits>

#include "krait/error.h"

namespace krait {

void Vocabulary::add(int32_t id, std::string_view text, std::string_view bytes) {
  KRAIT_CHECK(id >= 0 && !text.empty());
  KRAIT_CHECK(arena_.size() + text.size() + bytes.size() < std::numeric_limits<uint32_t>::max());
  const auto place = static_cast<size_t>(id);
  if (place >= tokens_.size()) tokens_.resize(place + 1);
  KRAIT_CHECK(tokens_[place].text_size == 0);
  tokens_[place] = {static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(text.size()),
                    static_cast<uint32_t>(bytes.size())};
  arena_ += text;
  arena_ += bytes;
  by_text_.insert(text, id);
}

std::string_view Vocabulary::text(int32_t id) const noexcept {
  if (id < 0 || id >= size()) return {};
  const Token& token = tokens_[static_cast<size_t>(id)];
  return {arena_.data() + token.begin, token.text_size};
}

std::string_view Vocabulary::bytes(int32_t id) const noexcept {
  if (id < 0 || id >= size()) return {};
  const Token& token = tokens_[static_cast<size_t>(id)];
  return {arena_.data() + token.begin + token.text_size, token.bytes_size};
}

int32_t Vocabulary::find(std::string_view text) const noexcept {
  return by_text_.find(text, [this](int32_t id) { return this->text(id); });
}

}  // namespace krait
