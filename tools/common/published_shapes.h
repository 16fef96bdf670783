// The shapes of published models, for random checkpoints of their size.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/common/random_checkpoint.h"

namespace krait {

// Names as on the hub, without the owner and in lower case: "mamba2-130m".
std::vector<std::string> published_shapes();

// Settings of that name for a layout, in which the vocabulary is told with its padding or without.
// Throws InputError for an unknown name.
RandomCheckpoint published_shape(std::string_view name, RandomLayout layout);

}  // namespace krait
