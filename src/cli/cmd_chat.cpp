#include <random>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/cli/chat.h"
#include "src/cli/chat_commands.h"
#include "src/cli/command.h"
#include "src/cli/line_editor.h"
#include "src/cli/line_reader.h"
#include "src/cli/message_reader.h"
#include "src/cli/state_flags.h"

namespace krait::cli {
namespace {

constexpr size_t kMaxLineBytes = size_t{64} << 20;
constexpr const char* kExamples =
    R"(Lines that begin with / are commands: /help lists them. From a pipe, each line
is a message, and the answers go to standard output.

Examples:
  krait chat
  krait chat -m ./my-model --system "Answer in one sentence."
  krait chat --load-state talk.state --save-state talk.state
  printf 'Hello\nGo on\n' | krait chat -s 1)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  ChatSettings chat;
  std::string system, chat_template;
  StateFlags state;
};

using NextLine = std::function<Input(bool in_block)>;

// Messages from a file or pipe.
class PipedInput {
 public:
  Input next() {
    auto line = lines_.next();
    if (!line) return {Input::Kind::end, ""};
    if (line->ends_with('\n')) line->pop_back();
    if (line->ends_with('\r')) line->pop_back();
    return {Input::Kind::text, std::move(*line)};
  }

 private:
  LineReader lines_{STDIN_FILENO, "standard input", kMaxLineBytes};
};

// Messages from a person.
class TypedInput {
 public:
  TypedInput(Chat& chat, bool colors)
      : chat_(chat),
        history_(InputHistory::default_path()),
        editor_(
            history_, [&chat](std::string_view line) { return complete_command(chat, line); },
            colors) {}

  Input next(bool in_block) {
    const std::string& branch = chat_.conversation().branch();
    const std::string prompt = branch == "main" ? "> " : branch + "> ";
    Input input = editor_.read(in_block ? std::string(prompt.size() - 2, ' ') + ". " : prompt);
    // What came by other ways than the keyboard while nothing was being written.
    if (!Console::terminated()) Console::clear_interrupt();
    return input;
  }

  void remember(const std::string& text) { editor_.remember(text); }

 private:
  Chat& chat_;
  InputHistory history_;
  LineEditor editor_;
};

// A message or a command. Mistakes are told and the chat goes on; so are failures, where somebody
// can do something about them.
void handle(Chat& chat, const Message& message) {
  if (message.text.find_first_not_of(" \t\r\n") == std::string::npos) return;
  try {
    if (!message.is_block && is_command(message.text))
      run_command(chat, message.text);
    else
      chat.say(message.is_block ? message.text : message_of(message.text));
  } catch (const InputError& e) {
    spdlog::error("{}", e.what());
  } catch (const Failure& e) {
    if (!chat.interactive()) throw;
    spdlog::error("{}", e.what());
  }
}

void talk(Chat& chat, Console& console) {
  TypedInput input(chat, console.colors());
  while (!chat.over() && !Console::terminated()) {
    const Message message = read_message([&](bool in_block) { return input.next(in_block); });
    if (message.kind == Input::Kind::end) return;
    if (message.kind == Input::Kind::cancelled || message.text.empty()) continue;
    input.remember(message.is_block ? "\"\"\"" + message.text + "\"\"\"" : message.text);
    handle(chat, message);
    if (!Console::terminated()) Console::clear_interrupt();
  }
}

void read_piped(Chat& chat) {
  PipedInput input;
  while (!chat.over()) {
    const Message message = read_message([&](bool) { return input.next(); });
    if (message.kind == Input::Kind::end) return;
    handle(chat, message);
    if (Console::interrupted()) throw Interrupted{};
  }
}

void greet(Chat& chat) {
  const ConversationCounts counts = chat.conversation().counts();
  chat.note(fmt::format("{}, template {}{}. /help lists the commands, Ctrl-D leaves.",
                        chat.engine().name(), chat.format().name(),
                        counts.tokens > 0 ? fmt::format(", {} turns", counts.turns) : ""));
}

ChatSettings settings_of(const Flags& flags) {
  ChatSettings settings = flags.chat;
  settings.json = flags.output.json;
  settings.quiet = flags.output.quiet;
  settings.verbose = flags.output.verbose;
  settings.state_dtype = flags.state.dtype.value_or(DType::f32);
  settings.seed = settings.sampling.seed.value_or(std::random_device{}());
  return settings;
}

int run(const Flags& flags, Console& console) {
  validate(flags.chat.sampling.options);
  validate(flags.state);
  const bool interactive = ::isatty(STDIN_FILENO) && ::isatty(STDERR_FILENO);
  const auto engine = open_engine(flags.open);
  const ChatFormat format(*engine, flags.chat_template);
  Chat chat(*engine, format, settings_of(flags), console, interactive);
  if (!flags.state.load.empty()) chat.load(flags.state.load, !flags.chat.sampling.seed.has_value());
  // Also where there is none: a template that cannot be used is better refused now.
  chat.conversation().set_system(flags.system.empty() ? chat.conversation().system()
                                                      : flags.system);
  spdlog::info("template {}, seed {}", format.name(), chat.settings().seed);
  int code = kExitSuccess;
  try {
    if (interactive) {
      greet(chat);
      talk(chat, console);
    } else {
      read_piped(chat);
    }
  } catch (const Interrupted&) {
    code = kExitInterrupted;
  } catch (const ClosedPipe&) {  // nobody listens; the conversation is kept all the same
  }
  if (Console::terminated()) code = kExitInterrupted;
  if (!flags.state.save.empty()) {
    chat.save(flags.state.save);
    chat.note(fmt::format("saved in {}", flags.state.save));
  }
  return code;
}

}  // namespace

Command add_chat(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "chat", "Talk with a model; undo, branch and save the conversation at any point");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_text(*app, "--system", "TEXT", "What the model is told before the conversation",
           [=](const std::string& text) { flags->system = text; })
      ->group("Conversation");
  add_chat_template_flag(*app, flags->chat_template);
  add_max_tokens_flag(*app, flags->chat.max_tokens);
  add_sampling_flags(*app, flags->chat.sampling);
  add_state_flags(*app, flags->state,
                  "Go on from a saved conversation, or from a text that generate has saved; the "
                  "seed goes on, too, unless -s gives another");
  add_model_flags(*app, flags->open);
  add_machine_flags(*app, flags->open);
  add_chunk_flag(*app, flags->open);
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
