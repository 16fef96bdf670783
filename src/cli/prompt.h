// The text or ids that a command works on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/cli/options.h"

namespace krait::cli {

struct Prompt {
  std::string text;                         // any bytes; empty when ids were given
  std::optional<std::vector<int32_t>> ids;  // from --ids
};

// From -p, -f, --ids or piped standard input. Throws InputError where there are two of them, none,
// or a file cannot be read; Interrupted for Ctrl-C while reading.
Prompt read_prompt(const PromptFlags& flags);

}  // namespace krait::cli
