// What `krait generate` shows of what was generated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "krait/engine.h"
#include "src/cli/console.h"

namespace krait::cli {

// Text on standard output as it comes. Several completions are set apart by lines that number them.
class CompletionsText {
 public:
  // `echoed` stands before each text.
  CompletionsText(Console& console, std::string echoed, int32_t count)
      : console_(console), echoed_(std::move(echoed)), count_(count) {}

  // A piece of the completion `index`; those of one completion come together, in order of index.
  void write(int32_t index, std::string_view text);

  // After the last piece.
  void finish();

 private:
  void begin(int32_t index);
  void put(std::string_view text);

  Console& console_;
  std::string echoed_;
  int32_t count_;
  int32_t begun_ = 0;  // how many completions have their beginning on the screen
  char last_ = '\n';
};

// What the JSON object says beside the completions themselves.
struct CompletionsContext {
  const Engine& engine;
  std::string echoed;         // stands before each text
  int64_t cached_tokens = 0;  // of the loaded state
  int64_t fed = 0;            // tokens of the prompt that were read: all of them unless interrupted
  uint64_t seed = 0;
  bool list_choices = false;  // several were asked for: the list of them goes with the first
};

nlohmann::ordered_json to_json(const Completions& completions, const GenerateOptions& options,
                               const CompletionsContext& context);

// Two lines on standard error, unless -q or --json asked for none.
void note_statistics(Console& console, const Completions& completions, int64_t fed);

}  // namespace krait::cli
