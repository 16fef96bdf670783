// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace krait {

struct EncodeOptions {
  bool add_special_tokens = true;    // BOS and the like, where the tokenizer's post-processor asks
  bool parse_special_tokens = true;  // "<|endoftext|>" in the text becomes its id
  bool continues = false;            // it goes on from an earlier text: no space is put before it
};

// A vocabulary as GGUF files store it, under keys of the same names (tokenizer.ggml.*).
struct VocabularyTables {
  std::string model;                // "gpt2": byte-level BPE, "llama": sentencepiece
  std::string pre;                  // name of the pre-tokeniser; "gpt2" only
  std::vector<std::string> tokens;  // by id
  std::vector<int32_t> token_type;  // by id; values of GgufTokenType
  std::vector<float> scores;        // by id; "llama" only
  std::vector<std::string> merges;  // "left right", by rank; "gpt2" only
  bool add_bos_token = false;       // at the start of every text
  bool add_eos_token = false;       // at the end of every text
  bool add_space_prefix = false;    // a space before every text; "llama" only
};
enum GgufTokenType : int32_t { normal = 1, unknown, control, user_defined, unused, byte };

// Immutable after loading and safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // "byte-level BPE", for `krait info`.
  virtual std::string_view kind() const noexcept = 0;

  // Highest id with a string, plus one. Ids at or above it are padding rows.
  virtual int32_t vocab_size() const noexcept = 0;

  // Any byte string is legal: invalid UTF-8 encodes too, through U+FFFD where the algorithm needs
  // characters. Linear in the text apart from pathological merges (n log n).
  virtual std::vector<int32_t> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const = 0;

  // The bytes a token stands for (not always whole UTF-8 characters). Ids without a string give
  // nothing; special tokens give nothing unless asked for. Throws InputError for an id < 0.
  virtual std::string token_bytes(int32_t id, bool keep_special = false) const = 0;

  // Whether encoding puts a space before a text that decoding takes away again. token_bytes keeps
  // it, as only a text's first token has it to lose: decode() drops the first byte of a text that
  // is a space, and so must whoever strings token_bytes together from the beginning of a text.
  virtual bool strips_leading_space() const noexcept { return false; }

  // The token as written in the vocabulary ("Ġthe"), for display; empty when it has none.
  virtual std::string_view token_text(int32_t id) const noexcept = 0;

  virtual bool is_special(int32_t id) const noexcept = 0;

  // The id of that vocabulary string or added token, or -1.
  virtual int32_t find(std::string_view token_text) const noexcept = 0;

  // What a GGUF file needs so that its readers tokenise the same. Throws InputError naming what
  // GGUF has no words for.
  virtual VocabularyTables tables() const = 0;
};

// Of one thread at a time. Turns a stream of token bytes into text that never splits a UTF-8
// character: holds back an incomplete tail of at most three bytes; bytes that cannot become valid
// UTF-8 turn into U+FFFD.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string finish();  // what was held back, lossily
  bool holds_back() const noexcept { return !pending_.empty(); }

 private:
  std::string pending_;
};

// The whole sequence as a text of its own, decoded lossily to valid UTF-8.
std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                   bool keep_special = false);

// Reads a tokenizer.json. Throws InputError naming the file, the field, what was found and what was
// expected for anything that is not understood: never a silently different tokenisation.
std::unique_ptr<Tokenizer> load_tokenizer_json(const std::string& path);

// Reads a sentencepiece model (tokenizer.model). Throws InputError in the same way.
std::unique_ptr<Tokenizer> load_tokenizer_sentencepiece(const std::string& path);

// The tokenizer in the metadata of a GGUF file, one flat object; nullptr when there is none.
// `source` names the file in messages. Throws InputError in the same way.
std::unique_ptr<Tokenizer> load_tokenizer_gguf(const nlohmann::json& metadata,
                                               const std::string& source);

// Ids are bytes: for models that need no tokenizer, such as MambaByte.
std::unique_ptr<Tokenizer> byte_tokenizer();

}  // namespace krait
