// BPE over characters in the style of sentencepiece, as Llama's tokenizer.json has it: spaces are
// written as U+2581, and what has no token becomes bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/tokenizer/bpe_tokenizer.h"

namespace krait {

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581

// Where U+2581 is put before text. A stretch is what lies between added tokens.
enum class PrependScheme {
  never,
  first,     // before the first stretch of a text, unless it begins with a space
  always,    // before every stretch, unless it begins with a space
  anything,  // before every stretch, whatever it begins with
};

// What a MetaspaceTokenizer is made of.
struct MetaspaceParts : BpeParts {
  bool in_normalizer = false;  // spaces are replaced, and "anything" prepended, before the added
                               // tokens that are looked for in normalised text
  PrependScheme prepend = PrependScheme::never;
  bool split = false;                 // every U+2581 begins a piece that merges do not cross
  bool strips_leading_space = false;  // when decoding
};

// `text` with U+2581 for every space, behind another one where `prepend`.
std::string with_metaspaces(std::string_view text, bool prepend);

// `text` with a space for every U+2581.
std::string without_metaspaces(std::string_view text);

// The bytes a token stands for: "<0x0A>" is one byte, U+2581 a space.
std::string bytes_of_metaspace_token(std::string_view text);

class MetaspaceTokenizer final : public BpeTokenizer {
 public:
  explicit MetaspaceTokenizer(MetaspaceParts parts);

  std::string_view kind() const noexcept override { return "BPE with spaces as characters"; }
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  bool strips_leading_space() const noexcept override { return strips_leading_space_; }
  VocabularyTables tables() const override;

 private:
  void encode_piece(std::string_view piece, std::vector<int32_t>& ids) const;

  bool in_normalizer_;
  PrependScheme prepend_;
  bool split_;
  bool strips_leading_space_;
};

}  // namespace krait
