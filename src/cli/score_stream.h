// `krait score --stream`.
#pragma once

#include "krait/engine.h"
#include "src/cli/console.h"

namespace krait::cli {

// Scores standard input until it ends, line by line, in memory that does not grow; each line's
// result is written as soon as the line is there. Throws Interrupted for Ctrl-C.
void score_stream(Engine& engine, bool json, Console& console);

}  // namespace krait::cli
