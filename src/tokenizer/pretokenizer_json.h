// The `pre_tokenizer` of a tokenizer.json with a byte level.
#pragma once

#include <vector>

#include "src/tokenizer/json_field.h"
#include "src/tokenizer/pretokenizer.h"

namespace krait {

struct ByteLevelSplit {
  std::vector<SplitStep> steps;
  bool byte_level = false;  // seen; the steps behind it see the byte alphabet
  bool add_prefix_space = false;
};

// Throws InputError for what has no byte level, or steps that are not understood.
ByteLevelSplit read_byte_level_split(const JsonField& pre_tokenizer);

}  // namespace krait
