#include "src/cli/state_flags.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "krait/error.h"
#include "src/base/output_file.h"
#include "src/cli/options.h"

namespace krait::cli {

void add_state_flags(CLI::App& app, StateFlags& flags, std::string load_help) {
  const auto path = [](const char* flag, std::string& target) {
    return [flag, &target](const std::string& text) {
      if (text.empty()) throw InputError(fmt::format("{} '': expected the name of a file", flag));
      target = text;
    };
  };
  add_text(app, "--save-state", "FILE",
           "Afterwards, Ctrl-C included, write where the text stands; the file is replaced as a "
           "whole or not at all",
           path("--save-state", flags.save))
      ->group("State");
  add_text(app, "--load-state", "FILE", std::move(load_help), path("--load-state", flags.load))
      ->group("State");
  add_choice(app, "--state-dtype", {"f32", "bf16"},
             "How to save: f32 exactly, bf16 in half the space; -v says what that costs "
             "(default f32)",
             [&flags](const std::string& word) { flags.dtype = parse_dtype(word); })
      ->group("State");
}

void validate(const StateFlags& flags) {
  if (flags.dtype && flags.save.empty())
    throw InputError("--state-dtype: it says how --save-state writes; give that, too");
  if (!flags.save.empty()) const OutputFile probe(flags.save);
}

SavedState read_state(const Engine& engine, const std::string& path) {
  SavedState saved = load_state(engine, path);
  if (const DType own = engine.model().weight_dtype(); saved.weights != own)
    spdlog::warn("{} was computed with weights in {}, these are in {}: the text may differ", path,
                 dtype_name(saved.weights), dtype_name(own));
  spdlog::info("state {}: {} tokens", path, saved.snapshot->position);
  return saved;
}

void write_state(Engine& engine, const SavedState& state, const std::string& path, DType planes) {
  save_state(engine, state, path, planes);
  spdlog::info("state {}: {} tokens, saved as {}", path, state.snapshot->position,
               dtype_name(planes));
  if (planes != DType::f32 && !state.snapshot->logits.empty() &&
      spdlog::should_log(spdlog::level::info))
    spdlog::info("{} changes the next logits by at most {:.1e} of the largest", dtype_name(planes),
                 state_error(engine, state.snapshot, load_state(engine, path).snapshot));
}

}  // namespace krait::cli
