// The tokenizer of models that read bytes.
#include <array>

#include "krait/error.h"
#include "krait/tokenizer.h"
#include "src/tokenizer/byte_alphabet.h"

namespace krait {
namespace {

constexpr int32_t kBytes = 256;

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (int32_t id = 0; id < kBytes; ++id)
      texts_[static_cast<size_t>(id)] = alphabet_from_bytes(std::string(1, static_cast<char>(id)));
  }

  std::string_view kind() const noexcept override { return "bytes"; }
  int32_t vocab_size() const noexcept override { return kBytes; }

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids(text.size());
    for (size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<unsigned char>(text[i]);
    return ids;
  }

  std::string token_bytes(int32_t id, bool) const override {
    if (id < 0) throw InputError("token id " + std::to_string(id) + " is negative");
    return id < kBytes ? std::string(1, static_cast<char>(id)) : std::string();
  }

  // As byte-level vocabularies spell bytes, so that every one of them can be shown.
  std::string_view token_text(int32_t id) const noexcept override {
    return id >= 0 && id < kBytes ? std::string_view(texts_[static_cast<size_t>(id)])
                                  : std::string_view();
  }

  bool is_special(int32_t) const noexcept override { return false; }

  int32_t find(std::string_view token_text) const noexcept override {
    for (int32_t id = 0; id < kBytes; ++id)
      if (texts_[static_cast<size_t>(id)] == token_text) return id;
    return -1;
  }

  VocabularyTables tables() const override {
    throw InputError("a GGUF file has no words for this tokenizer: its ids are bytes");
  }

 private:
  std::array<std::string, kBytes> texts_;
};

}  // namespace

std::unique_ptr<Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace krait
