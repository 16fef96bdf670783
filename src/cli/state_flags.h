// Saving and loading where a text stands: the flags, and what the user is told.
#pragma once

#include <optional>
#include <string>

#include "krait/engine.h"

namespace CLI {
class App;
}  // namespace CLI

namespace krait::cli {

struct StateFlags {
  std::string load, save;  // paths; empty: not asked for
  std::optional<DType> dtype;
};

// `load_help`: what loading does for this command.
void add_state_flags(CLI::App& app, StateFlags& flags, std::string load_help);

// Throws InputError for flags that do not go together and for a file that cannot be written: now,
// not after hours of writing.
void validate(const StateFlags& flags);

// Reads a state; warns where other weights computed it.
SavedState read_state(const Engine& engine, const std::string& path);

// Writes a state; with -v says what rounding it costs.
void write_state(Engine& engine, const SavedState& state, const std::string& path, DType planes);

}  // namespace krait::cli
