#include "src/cli/options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <variant>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "krait/chat_format.h"
#include "krait/error.h"

namespace krait::cli {
namespace {

constexpr const char* kOutput = "Output";
constexpr const char* kModel = "Model and machine";
constexpr const char* kPrompt = "Prompt";
constexpr const char* kSampling = "Sampling";

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void refuse(std::string_view flag, std::string_view found, std::string_view expected) {
  throw InputError(fmt::format("{} {}: expected {}", flag, found.empty() ? "''" : found, expected));
}

// The long name, which messages use: "--threads" of "-t,--threads".
std::string long_name(const std::string& names) {
  const size_t at = names.find("--");
  return names.substr(at, names.find(',', at) - at);
}

// The sampling flags of all commands. Ranges are checked by validate(), here only the spelling.
struct SamplingFlag {
  const char* names;
  std::variant<float SamplingOptions::*, int32_t SamplingOptions::*> member;
  const char* help;
};
constexpr SamplingFlag kSamplingFlags[] = {
    {"--temp,--temperature", &SamplingOptions::temperature,
     "Above 1 more surprising, below 1 safer, 0 greedy"},
    {"--top-k", &SamplingOptions::top_k, "Only the N likeliest tokens; 0 is off"},
    {"--top-p", &SamplingOptions::top_p,
     "Only the likeliest tokens that together reach this probability; 1 is off"},
    {"--min-p", &SamplingOptions::min_p,
     "Only tokens at least this likely, as a share of the likeliest; 0 is off"},
    {"--typical,--typical-p", &SamplingOptions::typical_p,
     "Locally typical sampling with this probability mass; 1 is off"},
    {"--repeat-penalty,--repetition-penalty", &SamplingOptions::repeat_penalty,
     "Above 1 makes recent tokens less likely; 1 is off"},
    {"--presence-penalty", &SamplingOptions::presence_penalty,
     "Taken from the logit of every recent token; 0 is off"},
    {"--frequency-penalty", &SamplingOptions::frequency_penalty,
     "Taken once for each recent occurrence; 0 is off"},
    {"--repeat-last-n", &SamplingOptions::penalty_last_n,
     "How many tokens count as recent; -1 is all of them"},
};

template <class T>
void assign(const std::string& name, const std::string& text, T& target) {
  const std::optional<T> value = parse_number<T>(text);
  if (!value) refuse(name, text, std::is_integral_v<T> ? "a whole number" : "a number");
  target = *value;
}

template <class T>
void add_sampling_flag(CLI::App& app, const SamplingFlag& flag, T& target) {
  const auto set = [&target, name = long_name(flag.names)](const std::string& text) {
    assign(name, text, target);
  };
  add_text(app, flag.names, "N", fmt::format("{} (default {})", flag.help, target), set)
      ->group(kSampling);
}

const SamplingFlag* find_sampling_flag(const std::string& name) {
  for (const SamplingFlag& flag : kSamplingFlags)
    if ((std::string(flag.names) + ",").find("--" + name + ",") != std::string::npos) return &flag;
  return nullptr;
}

std::pair<int32_t, float> parse_bias(const std::string& text) {
  const size_t equals = text.find('=');
  const auto id = parse_number<int32_t>(std::string_view(text).substr(0, equals));
  const auto value = equals == std::string::npos
                         ? std::nullopt
                         : parse_number<float>(std::string_view(text).substr(equals + 1));
  if (!id || !value) refuse("--logit-bias", text, "ID=VALUE, for example 50256=-inf or 11=1.5");
  return {*id, *value};
}

// Each use of the flag adds one value.
void add_repeatable(CLI::App& app, const std::string& name, const char* value_name,
                    const char* help, std::function<void(const std::vector<std::string>&)> set) {
  app.add_option_function<std::vector<std::string>>(name, std::move(set), help)
      ->type_name(value_name)
      ->allow_extra_args(false)
      ->group(kSampling);
}

bool is_device(const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  return text.starts_with("cuda:") &&
         parse_number<uint16_t>(std::string_view(text).substr(5)).has_value();
}

}  // namespace

CLI::Option* add_text(CLI::App& app, const std::string& names, std::string value_name,
                      std::string help, std::function<void(const std::string&)> set) {
  return app.add_option_function<std::string>(names, std::move(set), std::move(help))
      ->type_name(std::move(value_name))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

CLI::Option* add_integer(CLI::App& app, const std::string& names, int64_t low, int64_t high,
                         std::string help, std::function<void(int64_t)> set) {
  const auto parse = [=, flag = long_name(names)](const std::string& text) {
    const auto value = parse_number<int64_t>(text);
    if (!value || *value < low || *value > high)
      refuse(flag, text, fmt::format("a whole number from {} to {}", low, high));
    set(*value);
  };
  return add_text(app, names, "N", std::move(help), parse);
}

CLI::Option* add_choice(CLI::App& app, const std::string& names, std::vector<std::string> words,
                        std::string help, std::function<void(const std::string&)> set) {
  std::string value_name = fmt::format("{}", fmt::join(words, "|"));
  const auto parse = [=, flag = long_name(names)](const std::string& text) {
    if (std::find(words.begin(), words.end(), text) == words.end())
      refuse(flag, text, fmt::format("one of {}", fmt::join(words, ", ")));
    set(text);
  };
  return add_text(app, names, std::move(value_name), std::move(help), parse);
}

std::vector<int64_t> parse_integers(std::string_view flag, std::string_view text, int64_t low,
                                    int64_t high) {
  std::vector<int64_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, end - begin);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    const auto value = parse_number<int64_t>(item);
    if (!value || *value < low || *value > high)
      refuse(flag, item,
             fmt::format("whole numbers from {} to {}, separated by commas", low, high));
    values.push_back(*value);
    begin = end + 1;
  }
  return values;
}

std::vector<int32_t> parse_ids(std::string_view flag, std::string_view text) {
  const std::vector<int64_t> values =
      parse_integers(flag, text, 0, std::numeric_limits<int32_t>::max());
  return {values.begin(), values.end()};
}

void add_output_flags(CLI::App& app, OutputFlags& flags) {
  app.add_flag("--json", flags.json, "Print JSON instead of text")->group(kOutput);
  app.add_flag("-q,--quiet", flags.quiet, "Nothing on standard error but errors")->group(kOutput);
  app.add_flag("-v,--verbose", flags.verbose, "Say what is loaded, where, and with which seed")
      ->group(kOutput);
  add_choice(app, "--log-level", {"error", "warn", "info", "debug"},
             "Which messages appear on standard error (default warn)",
             [&](const std::string& word) { flags.log_level = word; })
      ->group(kOutput);
  add_choice(app, "--color", {"auto", "on", "off"},
             "Colours in messages; auto also honours NO_COLOR (default auto)",
             [&](const std::string& word) { flags.color = word; })
      ->group(kOutput);
}

void add_model_flags(CLI::App& app, OpenOptions& open) {
  add_text(app, "-m,--model", "MODEL",
           "Folder, file, Hugging Face id in the local cache, or a bundled model "
           "(default: the bundled one)",
           [&](const std::string& text) { open.model = text; })
      ->group(kModel);
  add_tokenizer_flag(app, open);
}

void add_tokenizer_flag(CLI::App& app, OpenOptions& open) {
  add_text(app, "--tokenizer", "FILE",
           "A tokenizer.json, tokenizer.model or GGUF file, a folder with a tokenizer, or 'bytes' "
           "(default: the model's)",
           [&](const std::string& text) { open.tokenizer = text; })
      ->group(kModel);
}

void add_machine_flags(CLI::App& app, OpenOptions& open) {
  add_text(app, "--device", "auto|cpu|cuda[:N]", "Where to compute (default auto)",
           [&](const std::string& text) {
             if (!is_device(text)) refuse("--device", text, "auto, cpu, cuda or cuda:N");
             open.backend.device = text;
           })
      ->group(kModel);
  add_choice(app, "--cpu-isa", {"auto", "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16"},
             "CPU instruction set (default: the best this machine has)",
             [&](const std::string& word) { open.backend.cpu_isa = word; })
      ->group(kModel);
  add_threads_flag(app, open);
  add_choice(app, "--dtype", {"auto", "f32", "bf16", "f16", "q8_0", "q6_k", "q4_k", "q4_0"},
             "Type of the weights, converted at load (default auto: as stored). Below 8 bits a few "
             "matrices stay finer",
             [&](const std::string& word) { open.dtype = parse_dtype(word); })
      ->group(kModel);
  add_choice(app, "--act", {"f32", "bf16"},
             "bf16: activations are rounded to bf16 in products with bf16 weights, which is faster "
             "with avx512bf16; other weights ignore it (default f32)",
             [&](const std::string& word) { open.backend.act = *parse_dtype(word); })
      ->group(kModel);
}

void add_threads_flag(CLI::App& app, OpenOptions& open) {
  add_integer(app, "-t,--threads", 1, 512, "CPU threads (default: all cores this process may use)",
              [&](int64_t n) { open.backend.threads = static_cast<int32_t>(n); })
      ->group(kModel);
}

void add_chunk_flag(CLI::App& app, OpenOptions& open) {
  // The upper limit is the engine's.
  add_integer(app, "--chunk", 1, std::numeric_limits<int32_t>::max(),
              "Prompt tokens per block; changes speed and memory only",
              [&](int64_t n) { open.chunk = static_cast<int32_t>(n); })
      ->group(kModel);
}

void add_prompt_flags(CLI::App& app, PromptFlags& flags) {
  add_text(app, "-p,--prompt", "TEXT", "The text itself", [&](const std::string& text) {
    flags.text = text;
  })->group(kPrompt);
  add_text(app, "-f,--file", "FILE",
           "Read the text from a file, - for standard input; one newline at its end is left out. "
           "Without -p and -f, piped input is read",
           [&](const std::string& text) { flags.file = text; })
      ->group(kPrompt);
}

void add_max_tokens_flag(CLI::App& app, int64_t& max_tokens) {
  add_integer(app, "-n,--max-tokens", -1, int64_t{1} << 40,
              fmt::format("How many tokens to write at most; -1 until the end-of-text token "
                          "(default {})",
                          max_tokens),
              [&](int64_t n) { max_tokens = n; })
      ->group(kPrompt);
}

void add_chat_template_flag(CLI::App& app, std::string& choice) {
  add_text(app, "--chat-template", "NAME|FILE",
           fmt::format("How conversations are written: {}, or a file with a template (default: the "
                       "model's own, else {})",
                       fmt::join(ChatFormat::built_in(), ", "), ChatFormat::built_in().front()),
           [&](const std::string& text) { choice = text; })
      ->group("Conversation");
}

void add_ids_flag(CLI::App& app, PromptFlags& flags) {
  add_text(app, "--ids", "1,2,3", "Token ids instead of text", [&](const std::string& text) {
    flags.ids = parse_ids("--ids", text);
  })->group(kPrompt);
}

std::vector<std::string> sampling_names() {
  std::vector<std::string> names;
  for (const SamplingFlag& flag : kSamplingFlags) names.push_back(long_name(flag.names).substr(2));
  return names;
}

std::string sampling_value(const SamplingOptions& options, const std::string& name) {
  const SamplingFlag* flag = find_sampling_flag(name);
  KRAIT_CHECK(flag != nullptr);
  return std::visit([&](auto member) { return fmt::format("{}", options.*member); }, flag->member);
}

void set_sampling(SamplingOptions& options, const std::string& name, const std::string& value) {
  const SamplingFlag* flag = find_sampling_flag(name);
  KRAIT_CHECK(flag != nullptr);
  SamplingOptions changed = options;
  std::visit([&](auto member) { assign(name, value, changed.*member); }, flag->member);
  validate(changed);
  options = std::move(changed);
}

void add_sampling_flags(CLI::App& app, SamplingFlags& flags) {
  for (const SamplingFlag& flag : kSamplingFlags)
    std::visit([&](auto member) { add_sampling_flag(app, flag, flags.options.*member); },
               flag.member);
  // After --temp in this list, so that it wins over it.
  app.add_flag_callback(
         "--greedy", [&] { flags.options.temperature = 0; },
         "Always the likeliest token: the same as --temp 0")
      ->group(kSampling);
  add_repeatable(app, "--logit-bias", "ID=VALUE",
                 "Add VALUE to the logit of a token, -inf to ban it (repeatable)",
                 [&](const std::vector<std::string>& values) {
                   for (const std::string& v : values)
                     flags.options.logit_bias.push_back(parse_bias(v));
                 });
  add_repeatable(app, "--stop", "TEXT", "End before this text would appear (repeatable)",
                 [&](const std::vector<std::string>& values) {
                   for (const std::string& v : values)
                     if (v.empty()) refuse("--stop", v, "a text that is not empty");
                   flags.stop = values;
                 });
  app.add_flag("--ignore-eos", flags.ignore_eos, "Go on after the end-of-text token")
      ->group(kSampling);
  add_text(app, "-s,--seed", "N",
           "The same seed gives the same text (default: random, shown by -v)",
           [&](const std::string& text) {
             flags.seed = parse_number<uint64_t>(text);
             if (!flags.seed)
               refuse("--seed", text, "a whole number from 0 to 18446744073709551615");
           })
      ->group(kSampling);
}

}  // namespace krait::cli
