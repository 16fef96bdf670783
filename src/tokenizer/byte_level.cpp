#include "src/tokenizer/byte_level.h"

#include <string>
#include <utility>

namespace krait {

ByteLevelTokenizer::ByteLevelTokenizer(ByteLevelParts parts)
    : BpeTokenizer(std::move(static_cast<BpeParts&>(parts))),
      normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      add_prefix_space_(parts.add_prefix_space) {}

std::vector<int32_t> ByteLevelTokenizer::encode(std::string_view text,
                                                const EncodeOptions& options) const {
  PreTokenizer::Workspace workspace = pre_tokenizer_.workspace();
  return encode_around_tokens(
      text, options,
      [&](std::string_view stretch, Place, std::string& storage) {
        return normalizer_.apply(stretch, storage);
      },
      [&](std::string_view stretch, Place place, std::vector<int32_t>& ids) {
        std::string with_space;
        if (add_prefix_space_ && place != Place::after_text && stretch[0] != ' ')
          stretch = with_space = " " + std::string(stretch);
        pre_tokenizer_.split(stretch, workspace,
                             [&](std::string_view piece) { parts().bpe->encode(piece, ids); });
      });
}

}  // namespace krait
