#include "src/tokenizer/metaspace.h"

#include <algorithm>
#include <utility>

namespace krait {
namespace {

// -1: no hexadecimal digit.
int value_of(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

std::string with_metaspaces(std::string_view text, bool prepend) {
  std::string out(prepend ? kMetaspace : "");
  out.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    if (c == ' ')
      out += kMetaspace;
    else
      out += c;
  }
  return out;
}

std::string without_metaspaces(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const bool space = text.substr(at).starts_with(kMetaspace);
    bytes += space ? ' ' : text[at];
    at += space ? kMetaspace.size() : 1;
  }
  return bytes;
}

std::string bytes_of_metaspace_token(std::string_view text) {
  if (text.size() == 6 && text.starts_with("<0x") && text[5] == '>') {
    const int high = value_of(text[3]);
    const int low = value_of(text[4]);
    if (high >= 0 && low >= 0) return {static_cast<char>(high * 16 + low)};
  }
  return without_metaspaces(text);
}

MetaspaceTokenizer::MetaspaceTokenizer(MetaspaceParts parts)
    : BpeTokenizer(std::move(static_cast<BpeParts&>(parts))),
      in_normalizer_(parts.in_normalizer),
      prepend_(parts.prepend),
      split_(parts.split),
      strips_leading_space_(parts.strips_leading_space) {}

std::vector<int32_t> MetaspaceTokenizer::encode(std::string_view text,
                                                const EncodeOptions& options) const {
  return encode_around_tokens(
      text, options,
      [this](std::string_view stretch, Place place, std::string& storage) -> std::string_view {
        if (!in_normalizer_) return stretch;
        const bool wanted = prepend_ == PrependScheme::anything && place != Place::after_text;
        return storage = with_metaspaces(stretch, wanted);
      },
      [this](std::string_view stretch, Place place, std::vector<int32_t>& ids) {
        if (in_normalizer_) return encode_piece(stretch, ids);
        const bool spaced = stretch[0] == ' ' || stretch.starts_with(kMetaspace);
        const bool wanted = (prepend_ == PrependScheme::always && place != Place::after_text) ||
                            (prepend_ == PrependScheme::first && place == Place::start);
        encode_piece(with_metaspaces(stretch, wanted && !spaced), ids);
      });
}

void MetaspaceTokenizer::encode_piece(std::string_view piece, std::vector<int32_t>& ids) const {
  if (!split_) return parts().bpe->encode(piece, ids);
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = std::min(piece.find(kMetaspace, begin + 1), piece.size());
    parts().bpe->encode(piece.substr(begin, end - begin), ids);
    begin = end;
  }
}

}  // namespace krait
