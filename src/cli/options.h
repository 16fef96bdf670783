// The flags that several commands share, each described once, and how flags are read: every mistake
// is an InputError that names the flag, what was found and what was expected.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "krait/engine.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace krait::cli {

struct OutputFlags {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  std::string log_level;  // empty: as -q and -v say
  std::string color = "auto";
};

struct PromptFlags {
  std::optional<std::string> text;
  std::optional<std::string> file;
  std::optional<std::vector<int32_t>> ids;
};

struct SamplingFlags {
  SamplingOptions options;
  std::optional<uint64_t> seed;  // nothing: a random one
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void add_output_flags(CLI::App& app, OutputFlags& flags);
void add_model_flags(CLI::App& app, OpenOptions& open);  // model, tokenizer
void add_tokenizer_flag(CLI::App& app, OpenOptions& open);
void add_machine_flags(CLI::App& app, OpenOptions& open);  // device, threads, dtype, act
void add_threads_flag(CLI::App& app, OpenOptions& open);
void add_chunk_flag(CLI::App& app, OpenOptions& open);
void add_prompt_flags(CLI::App& app, PromptFlags& flags);
void add_max_tokens_flag(CLI::App& app, int64_t& max_tokens);
void add_ids_flag(CLI::App& app, PromptFlags& flags);
void add_chat_template_flag(CLI::App& app, std::string& choice);
void add_sampling_flags(CLI::App& app, SamplingFlags& flags);

// The sampling options that have one value each, by the names of their flags: "temp", "top-k", …
std::vector<std::string> sampling_names();
std::string sampling_value(const SamplingOptions& options, const std::string& name);
// As the flag would. Throws InputError for a value that it would refuse.
void set_sampling(SamplingOptions& options, const std::string& name, const std::string& value);

// One flag with a value; given twice, the last one counts.
CLI::Option* add_text(CLI::App& app, const std::string& names, std::string value_name,
                      std::string help, std::function<void(const std::string&)> set);

// A whole number from `low` to `high`.
CLI::Option* add_integer(CLI::App& app, const std::string& names, int64_t low, int64_t high,
                         std::string help, std::function<void(int64_t)> set);

// One of a few words.
CLI::Option* add_choice(CLI::App& app, const std::string& names, std::vector<std::string> words,
                        std::string help, std::function<void(const std::string&)> set);

// "1,2,3": whole numbers from `low` to `high`, separated by commas; at least one.
std::vector<int64_t> parse_integers(std::string_view flag, std::string_view text, int64_t low,
                                    int64_t high);
std::vector<int32_t> parse_ids(std::string_view flag, std::string_view text);

// The nearest of `names` to a mistyped `word`, or "" when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

}  // namespace krait::cli
