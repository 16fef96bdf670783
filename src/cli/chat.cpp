#include "src/cli/chat.h"

#include <algorithm>
#include <charconv>
#include <exception>

#include <fmt/format.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/cli/state_flags.h"
#include "src/cli/word_wrap.h"

namespace krait::cli {
namespace {

double per_second(int64_t tokens, double ms) {
  return ms > 0 ? static_cast<double>(tokens) * 1000.0 / ms : 0;
}

template <class T>
T whole_number(const std::string& name, const std::string& text, T least) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least)
    throw InputError(fmt::format("{} {}: expected a whole number from {}", name, text, least));
  return value;
}

}  // namespace

// White space before the first word belongs to the answer but is not shown, and a terminal gets no
// control characters: it would obey them.
class Chat::Screen {
 public:
  Screen(const Chat& chat, Console& console)
      : console_(console), silent_(chat.settings_.json), tame_(::isatty(STDOUT_FILENO) == 1) {
    const int width = tame_ && chat.settings_.wrap ? terminal_width(STDOUT_FILENO) : 0;
    if (width >= kNarrowest) wrap_.emplace(width);
  }

  // What keeps it from writing ends the answer as Ctrl-C does, so that it stays in the
  // conversation, and is thrown by finish().
  std::function<bool(std::string_view)> writer() {
    return [this](std::string_view piece) {
      try {
        write(piece);
      } catch (...) {
        broken_ = std::current_exception();
      }
      return !broken_;
    };
  }

  // Each answer ends with one newline; one without words is an empty line.
  void finish() {
    if (broken_) std::rethrow_exception(broken_);
    if (!silent_ && last_ != '\n' && (begun_ || !tame_)) console_.write("\n");
  }

 private:
  static constexpr int kNarrowest = 20;

  void write(std::string_view piece) {
    if (silent_) return;
    std::string text;
    for (const char c : piece) {
      const auto byte = static_cast<unsigned char>(c);
      const bool is_space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
      if (!begun_ && is_space) continue;
      if (tame_ && (byte == 0x7f || (byte < 0x20 && c != '\n' && c != '\t'))) continue;
      begun_ = true;
      text += c;
    }
    if (text.empty()) return;
    console_.write(wrap_ ? wrap_->push(text) : text);
    last_ = text.back();
  }

  Console& console_;
  std::optional<WordWrap> wrap_;
  bool silent_;
  bool tame_;
  bool begun_ = false;
  char last_ = '\0';
  std::exception_ptr broken_;
};

Chat::Chat(Engine& engine, const ChatFormat& format, ChatSettings settings, Console& console,
           bool interactive)
    : engine_(engine),
      format_(format),
      settings_(std::move(settings)),
      console_(console),
      interactive_(interactive),
      conversation_(engine, format) {}

GenerateOptions Chat::options() const {
  GenerateOptions options;
  options.max_tokens = settings_.max_tokens;
  options.sampling = settings_.sampling.options;
  options.seed = settings_.seed;
  options.stop = settings_.sampling.stop;
  options.ignore_eos = settings_.sampling.ignore_eos;
  options.interrupt = &Console::interrupted();
  return options;
}

// ---- turns ----------------------------------------------------------------------------------

void Chat::say(std::string_view message) {
  Screen screen(*this, console_);
  finish(screen, conversation_.say(message, options(), screen.writer()));
}

void Chat::regenerate() {
  Screen screen(*this, console_);
  finish(screen, conversation_.regenerate(options(), screen.writer()));
}

void Chat::finish(Screen& screen, TurnResult result) {
  if (result.taken_back) {
    note("(stopped before the answer: nothing has changed)");
    return;
  }
  screen.finish();
  if (settings_.json) write_json(result);
  const bool is_empty = result.answer.text.find_first_not_of(" \t\r\n") == std::string::npos;
  if (result.answer.finish_reason == FinishReason::interrupted)
    note("(stopped)");
  else if (is_empty && interactive_)
    note("(the model had nothing to say; /regen asks again)");
  else if (result.answer.finish_reason == FinishReason::length && interactive_)
    note(fmt::format("(cut off after {} tokens; /set max-tokens changes that)",
                     settings_.max_tokens));
  if (settings_.verbose) note(statistics_of(result));
  if (interactive_) note("");
  last_ = std::move(result);
}

void Chat::write_json(const TurnResult& result) {
  const GenerateResult& answer = result.answer;
  const Timings& t = answer.timings;
  const auto completion = std::ssize(answer.ids);
  console_.write_json({{"text", answer.text},
                       {"ids", answer.ids},
                       {"finish_reason", to_string(answer.finish_reason)},
                       {"branch", conversation_.branch()},
                       {"turn", conversation_.counts().turns},
                       {"usage",
                        {{"prompt_tokens", answer.prompt_tokens},
                         {"completion_tokens", completion},
                         {"total_tokens", answer.prompt_tokens + completion},
                         {"read_again_tokens", result.read_again},
                         {"context_tokens", conversation_.counts().tokens}}},
                       {"timings",
                        {{"prefill_ms", t.prefill_ms},
                         {"decode_ms", t.decode_ms},
                         {"prefill_tok_s", per_second(answer.prompt_tokens, t.prefill_ms)},
                         {"decode_tok_s", per_second(t.decode_steps, t.decode_ms)}}},
                       {"model", engine_.name()},
                       {"seed", settings_.seed}});
}

std::string statistics_of(const TurnResult& result) {
  const Timings& t = result.answer.timings;
  const std::string again =
      result.read_again > 0 ? fmt::format(" ({} of them again)", result.read_again) : "";
  return fmt::format("read {} tokens{} at {:.0f} tok/s, wrote {} at {:.0f} tok/s ({})",
                     result.answer.prompt_tokens, again,
                     per_second(result.answer.prompt_tokens, t.prefill_ms),
                     result.answer.ids.size(), per_second(t.decode_steps, t.decode_ms),
                     to_string(result.answer.finish_reason));
}

// ---- files ----------------------------------------------------------------------------------

void Chat::save(const std::string& path) {
  write_state(engine_, conversation_.save(settings_.seed), path, settings_.state_dtype);
}

void Chat::load(const std::string& path, bool take_seed) {
  const SavedState saved = read_state(engine_, path);
  conversation_.load(saved, path);
  if (take_seed) settings_.seed = saved.seed;
  last_.reset();
}

// ---- settings -------------------------------------------------------------------------------

std::vector<std::string> Chat::setting_names() {
  std::vector<std::string> names = sampling_names();
  names.insert(names.end(), {"max-tokens", "seed", "stop", "wrap"});
  return names;
}

std::string Chat::setting(const std::string& name) const {
  if (name == "max-tokens") return std::to_string(settings_.max_tokens);
  if (name == "seed") return std::to_string(settings_.seed);
  if (name == "wrap") return settings_.wrap ? "on" : "off";
  if (name != "stop") return sampling_value(settings_.sampling.options, name);
  std::string all;
  for (const std::string& text : settings_.sampling.stop)
    all += (all.empty() ? "" : ", ") + escaped(text);
  return all.empty() ? "off" : all;
}

void Chat::set(const std::string& name, const std::string& value) {
  const std::vector<std::string> names = setting_names();
  if (std::ranges::count(names, name) == 0) {
    const std::string near = nearest(name, names);
    throw InputError(
        fmt::format("there is no setting '{}'{}", name,
                    near.empty() ? "; /show lists them" : fmt::format(": did you mean {}?", near)));
  }
  if (value.empty())
    throw InputError(fmt::format("{}: a value is missing; it is {} now", name, setting(name)));
  if (name == "max-tokens") {
    settings_.max_tokens = whole_number<int64_t>(name, value, -1);
  } else if (name == "seed") {
    settings_.seed = whole_number<uint64_t>(name, value, 0);
  } else if (name == "stop") {
    settings_.sampling.stop.clear();
    if (value != "off") settings_.sampling.stop.push_back(value);
  } else if (name == "wrap") {
    if (value != "on" && value != "off")
      throw InputError(fmt::format("wrap {}: expected on or off", value));
    settings_.wrap = value == "on";
  } else {
    set_sampling(settings_.sampling.options, name, value);
  }
}

// ---- messages -------------------------------------------------------------------------------

std::string Chat::styled(const char* code, std::string_view text) const {
  return console_.colors() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

void Chat::show(std::string_view line) const { write_error(fmt::format("{}\n", line)); }

void Chat::note(std::string_view line) const {
  if (!settings_.quiet && !settings_.json) show(dim(line));
}

}  // namespace krait::cli
