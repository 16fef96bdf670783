// A sentencepiece model (google/sentencepiece, src/sentencepiece_model.proto) as far as encoding
// and decoding need it, from a tokenizer.model or from the tables of a GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace krait {

struct SentencepieceModel {
  enum class Algorithm { unigram = 1, bpe = 2 };  // as in the file

  Algorithm algorithm = Algorithm::unigram;
  std::vector<std::string> pieces;  // by id, with U+2581 for spaces
  std::vector<float> scores;        // as many
  std::vector<int32_t> types;       // as many; the file's numbers are those of GgufTokenType
  bool byte_fallback = false;       // characters without a piece become pieces of bytes
  bool add_dummy_prefix = true;     // a space before every text
  bool remove_extra_whitespaces = true;
  std::string charsmap;                            // compiled normalisation rules; may be empty
  std::string unknown_surface = " \xE2\x81\x87 ";  // what an unknown piece decodes to
  int32_t bos = -1;                                // before every text; -1: none
  int32_t eos = -1;                                // behind every text; -1: none
};

// How messages name a model's parts: pieces[3].score in one file, tokenizer.ggml.scores[3] in
// another. An index is put between prefix and suffix.
struct SentencepieceNames {
  struct Part {
    std::string_view prefix;
    std::string_view suffix;
  };
  std::string source;
  Part piece;
  Part score;
  Part type;
};

// Reads a tokenizer.model. Throws InputError naming the file, the field, what was found and what
// was expected for anything that is not understood or that check_sentencepiece_model refuses.
SentencepieceModel read_sentencepiece_model(const std::string& path);

// Throws InputError for a model that the sentencepiece library would refuse, or worse, trust.
void check_sentencepiece_model(const SentencepieceModel& model, const SentencepieceNames& names);

// The model as the library reads it, with nothing in it that was not checked.
std::string serialize(const SentencepieceModel& model);

// The byte that "<0x41>" names, or -1.
int byte_of_piece(std::string_view piece);

// What is wrong with compiled normalisation rules, which the library walks without checks; empty
// when nothing is. A double-array trie (github.com/s-yata/darts-clone) of what is replaced, then
// the replacements, each ended by NUL.
std::string charsmap_problem(std::string_view charsmap);

}  // namespace krait
