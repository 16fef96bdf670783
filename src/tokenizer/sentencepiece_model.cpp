#include "src/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <cmath>

#include "krait/error.h"
#include "krait/tokenizer.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/tokenizer/bpe_json.h"
#include "src/tokenizer/protobuf.h"
#include "src/tokenizer/string_index.h"

namespace krait {
namespace {

// The library's recursion over pieces that may not be produced is as deep as a piece is long.
constexpr size_t kMaxPieceBytes = 4096;

class Check {
 public:
  Check(const SentencepieceModel& model, const SentencepieceNames& names)
      : model_(model), names_(names) {}

  void run() {
    const size_t count = model_.pieces.size();
    if (count == 0 || count > static_cast<size_t>(kMaxTokenId) + 1)
      throw InputError(names_.source + ": the model has " + std::to_string(count) +
                       " pieces; expected 1 to " + std::to_string(kMaxTokenId + 1));
    KRAIT_CHECK(model_.scores.size() == count && model_.types.size() == count);
    for (size_t id = 0; id < count; ++id) {
      check_text(id);
      check_type(id);
      if (!std::isfinite(model_.scores[id]))
        fail(names_.score, id, std::to_string(model_.scores[id]), "a finite number");
    }
    if (unknown_ < 0)
      throw InputError(
          names_.source +
          ": no piece has type 2 (unknown); expected one, for what has no other piece");
    if (model_.byte_fallback && bytes_ != 256)
      throw InputError(names_.source + ": the model has " + std::to_string(bytes_) +
                       " pieces of bytes; expected all 256, <0x00> to <0xFF>");
  }

 private:
  [[noreturn]] void fail(const SentencepieceNames::Part& part, size_t id, const std::string& found,
                         const std::string& expected) const {
    throw InputError(names_.source + ": " + std::string(part.prefix) + std::to_string(id) +
                     std::string(part.suffix) + " is " + found + "; expected " + expected);
  }

  void check_text(size_t id) {
    const std::string& piece = model_.pieces[id];
    if (piece.empty() || piece.size() > kMaxPieceBytes)
      fail(names_.piece, id, "of " + std::to_string(piece.size()) + " bytes",
           "1 to " + std::to_string(kMaxPieceBytes));
    if (!is_valid_utf8(piece) || piece.find('\0') != std::string::npos)
      fail(names_.piece, id, quote(piece), "UTF-8 without NUL");
    const auto piece_of = [this](int32_t i) -> std::string_view {
      return model_.pieces[static_cast<size_t>(i)];
    };
    const int32_t other = seen_.find(piece, piece_of);
    if (other >= 0)
      fail(names_.piece, id, quote(piece), "another: that is piece " + std::to_string(other));
    seen_.insert(piece, static_cast<int32_t>(id));
  }

  void check_type(size_t id) {
    const int32_t type = model_.types[id];
    if (type < GgufTokenType::normal || type > GgufTokenType::byte)
      fail(names_.type, id, std::to_string(type), "1 to 6");
    if (type == GgufTokenType::unknown) {
      if (unknown_ >= 0)
        fail(names_.type, id, "2 (unknown)",
             "another: piece " + std::to_string(unknown_) + " has it already");
      unknown_ = static_cast<int64_t>(id);
    }
    if (type == GgufTokenType::byte) {
      if (!model_.byte_fallback) fail(names_.type, id, "6 (byte)", "another without byte_fallback");
      if (byte_of_piece(model_.pieces[id]) < 0)
        fail(names_.piece, id, quote(model_.pieces[id]),
             "<0x00> to <0xFF>, as its type is 6 (byte)");
      ++bytes_;
    }
  }

  const SentencepieceModel& model_;
  const SentencepieceNames& names_;
  StringIndex seen_;
  int64_t unknown_ = -1;
  int bytes_ = 0;
};

// Control pieces are none of the library's business. Its BPE takes one of a single character for
// that character all the same, and then fails, as it counts no text for a control piece.
std::string name_for_library(const SentencepieceModel& model, size_t id) {
  const std::string& piece = model.pieces[id];
  const bool is_character = utf8_unit(piece, 0).length == piece.size();
  if (model.types[id] != GgufTokenType::control || !is_character) return piece;
  return "<control " + std::to_string(id) + ">";
}

}  // namespace

int byte_of_piece(std::string_view piece) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const size_t high = kDigits.find(piece[3]);
  const size_t low = kDigits.find(piece[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return -1;
  return static_cast<int>(high * 16 + low);
}

void check_sentencepiece_model(const SentencepieceModel& model, const SentencepieceNames& names) {
  Check(model, names).run();
  if (const std::string problem = charsmap_problem(model.charsmap); !problem.empty())
    throw InputError(names.source + ": normalizer_spec.precompiled_charsmap " + problem);
}

std::string serialize(const SentencepieceModel& model) {
  std::string out;
  std::string part;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    part.clear();
    append_bytes_field(1, name_for_library(model, id), part);
    append_float_field(2, model.scores[id], part);
    append_varint_field(3, static_cast<uint64_t>(model.types[id]), part);
    append_bytes_field(1, part, out);
  }
  part.clear();
  append_varint_field(3, static_cast<uint64_t>(model.algorithm), part);
  append_varint_field(35, model.byte_fallback, part);
  append_bytes_field(2, part, out);
  part.clear();
  append_bytes_field(2, model.charsmap, part);
  append_varint_field(3, model.add_dummy_prefix, part);
  append_varint_field(4, model.remove_extra_whitespaces, part);
  append_varint_field(5, true, part);  // escape_whitespaces
  append_bytes_field(3, part, out);
  return out;
}

}  // namespace krait
