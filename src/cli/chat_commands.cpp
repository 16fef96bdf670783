#include "src/cli/chat_commands.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "krait/error.h"
#include "src/base/file.h"
#include "src/base/utf8.h"
#include "src/cli/text_editor.h"

namespace krait::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{64} << 20;

enum class Argument { none, text, setting, part, branch, file };

struct ChatCommand {
  const char* name;
  const char* arguments;  // as /help shows them; "[…]" can be left out
  const char* help;
  Argument kind;  // what Tab completes
  void (*run)(Chat& chat, const std::string& argument);
};

std::string counted(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// One line of `width` characters at most, for lists.
std::string shortened(std::string_view text, size_t width) {
  std::string out;
  size_t characters = 0;
  for (size_t at = 0; at < text.size(); ++characters) {
    if (characters == width) return out + "…";
    const size_t length = std::max<size_t>(1, utf8_unit(text, at).length);
    out += static_cast<unsigned char>(text[at]) < 0x20 ? " " : std::string(text.substr(at, length));
    at += length;
  }
  return out;
}

// What a branch stands at, after it has changed.
std::string place_of(Chat& chat) {
  const ConversationCounts counts = chat.conversation().counts();
  return fmt::format("{}: {}, {}", chat.conversation().branch(), counted(counts.turns, "turn"),
                     counted(counts.tokens, "token"));
}

void show_last_exchange(Chat& chat) {
  const std::vector<ChatMessage> messages = chat.conversation().messages();
  constexpr size_t kWidth = 66;
  const size_t from = messages.size() > 2 ? messages.size() - 2 : 0;
  for (size_t i = from; i < messages.size(); ++i)
    if (messages[i].role != "system")
      chat.note(fmt::format("  {:<11}{}", messages[i].role + ":",
                            shortened(messages[i].content.substr(
                                          std::min(messages[i].content.find_first_not_of(" \n\t"),
                                                   messages[i].content.size())),
                                      kWidth)));
}

// ---- the commands ---------------------------------------------------------------------------

void help(Chat& chat, const std::string&);

void set(Chat& chat, const std::string& argument) {
  const size_t space = std::min(argument.find(' '), argument.size());
  const std::string name = argument.substr(0, space);
  const size_t value = argument.find_first_not_of(' ', space);
  chat.set(name, value == std::string::npos ? "" : argument.substr(value));
  chat.note(fmt::format("{} is {}", name, chat.setting(name)));
}

void show(Chat& chat, const std::string& part) {
  Conversation& conversation = chat.conversation();
  if (part == "messages") {
    for (const ChatMessage& message : conversation.messages())
      chat.show(fmt::format("{} {}", chat.bold(message.role + ":"), message.content));
  } else if (part == "template") {
    chat.show(chat.dim(chat.format().name()));
    chat.show(chat.format().source());
  } else if (part == "system") {
    chat.show(conversation.system().empty() ? chat.dim("(none)") : conversation.system());
  } else if (part.empty()) {
    const auto row = [&](const std::string& name, const std::string& value) {
      chat.show(fmt::format("  {}{}", chat.bold(fmt::format("{:<18}", name)), value));
    };
    row("model", chat.engine().name());
    row("template", chat.format().name());
    row("branch", place_of(chat));
    row("system", conversation.system().empty() ? "(none)" : shortened(conversation.system(), 56));
    for (const std::string& name : Chat::setting_names()) row(name, chat.setting(name));
  } else {
    throw InputError(fmt::format("/show {}: expected messages, system, template or nothing", part));
  }
}

void system(Chat& chat, const std::string& text) {
  chat.conversation().set_system(text == "off" ? "" : text);
  const bool began = chat.conversation().counts().turns > 0;
  chat.note(fmt::format("system message {}{}", text.empty() || text == "off" ? "removed" : "set",
                        began ? "; with the next message the conversation is read again" : ""));
}

void clear(Chat& chat, const std::string&) {
  chat.conversation().clear();
  chat.note("a new conversation");
}

void regenerate(Chat& chat, const std::string&) { chat.regenerate(); }

void undo(Chat& chat, const std::string& argument) {
  int64_t turns = 1;
  if (!argument.empty()) {
    const auto [end, error] =
        std::from_chars(argument.data(), argument.data() + argument.size(), turns);
    if (error != std::errc() || end != argument.data() + argument.size() || turns < 1)
      throw InputError(fmt::format("/undo {}: expected how many turns, 1 or more", argument));
  }
  const int64_t undone = chat.conversation().undo(turns);
  if (undone == 0) throw InputError("there is nothing to undo");
  chat.note(fmt::format("took back {}; {}", counted(undone, "turn"), place_of(chat)));
  show_last_exchange(chat);
}

void fork(Chat& chat, const std::string& name) {
  const std::string before = chat.conversation().branch();
  chat.conversation().fork(name);
  chat.note(fmt::format("now on {}; /switch {} goes back to here", name, before));
}

void switch_to(Chat& chat, const std::string& name) {
  chat.conversation().switch_to(name);
  chat.note(place_of(chat));
  show_last_exchange(chat);
}

void branches(Chat& chat, const std::string&) {
  constexpr size_t kWidth = 40;
  size_t width = 4;
  for (const BranchInfo& branch : chat.conversation().branches())
    width = std::max(width, branch.name.size());
  for (const BranchInfo& branch : chat.conversation().branches()) {
    const std::string name = fmt::format("{:<{}}", branch.name, width);
    chat.show(fmt::format("{} {}  {:>9}  {:>12}  {}", branch.current ? "*" : " ",
                          branch.current ? chat.bold(name) : name, counted(branch.turns, "turn"),
                          counted(branch.tokens, "token"),
                          chat.dim(shortened(branch.last, kWidth))));
  }
}

void save(Chat& chat, const std::string& path) {
  chat.save(path);
  const auto count = std::ssize(chat.conversation().branches());
  chat.note(fmt::format("saved in {} ({} {}, {})", path, count, count == 1 ? "branch" : "branches",
                        place_of(chat)));
}

void load(Chat& chat, const std::string& path) {
  chat.load(path, true);
  chat.note(fmt::format("loaded {}", place_of(chat)));
  show_last_exchange(chat);
}

void read_file(Chat& chat, const std::string& path) {
  std::string text = read_text_file(path, kMaxFileBytes);
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty()) throw InputError(path + ": the file is empty");
  chat.note(fmt::format("({} bytes from {})", text.size(), path));
  chat.say(text);
}

void edit(Chat& chat, const std::string& start) {
  if (!chat.interactive()) throw InputError("/edit needs a terminal");
  const std::string text = edit_text(start);
  if (text.find_first_not_of(" \t\n") == std::string::npos) {
    chat.note("(nothing written)");
    return;
  }
  chat.show(text);
  chat.say(text);
}

void stats(Chat& chat, const std::string&) {
  const ConversationCounts counts = chat.conversation().counts();
  if (chat.last()) chat.show("  last answer: " + statistics_of(*chat.last()));
  chat.show(fmt::format("  this branch: {}, {}", counted(counts.turns, "turn"),
                        counted(counts.tokens, "token")));
  chat.show(fmt::format("  in all: {} read, {} written, {} read again",
                        counted(counts.read, "token"), counts.written, counts.read_again));
  chat.show(fmt::format(
      "  states kept: {}, {:.1f} MB, one is {:.1f} MB whatever the length", counts.snapshots,
      static_cast<double>(counts.snapshot_bytes) / 1e6,
      static_cast<double>(chat.engine().model().state_layout().bytes_per_slot()) / 1e6));
}

void leave(Chat& chat, const std::string&) { chat.leave(); }

constexpr ChatCommand kCommands[] = {
    {"help", "", "Show this list", Argument::none, help},
    {"set", "NAME VALUE", "Change a setting: /set temp 0.7", Argument::setting, set},
    {"show", "[PART]", "Settings; or messages, system, template", Argument::part, show},
    {"system", "[TEXT]", "What the model is told first; without TEXT none", Argument::text, system},
    {"clear", "", "Begin again on this branch", Argument::none, clear},
    {"regen", "", "Another answer to the last message", Argument::none, regenerate},
    {"undo", "[N]", "Take back the last turn, or N of them", Argument::text, undo},
    {"fork", "NAME", "A new branch from here; the old one stays", Argument::text, fork},
    {"switch", "NAME", "Go to another branch", Argument::branch, switch_to},
    {"branches", "", "List the branches", Argument::none, branches},
    {"save", "FILE", "Save the whole conversation", Argument::file, save},
    {"load", "FILE", "Go on from a saved one", Argument::file, load},
    {"read", "FILE", "Say what is in a file", Argument::file, read_file},
    {"edit", "[TEXT]", "Write a message in $VISUAL or $EDITOR", Argument::text, edit},
    {"stats", "", "Tokens, speed, memory", Argument::none, stats},
    {"bye", "", "Leave; Ctrl-D does, too", Argument::none, leave},
};

void help(Chat& chat, const std::string&) {
  for (const ChatCommand& command : kCommands) {
    const std::string usage = fmt::format("/{} {}", command.name, command.arguments);
    chat.show(fmt::format("  {}{}", chat.bold(fmt::format("{:<18}", usage)), command.help));
  }
  chat.show("");
  chat.show(
      "  \"\"\" before and after a message of several lines; // for a message that begins\n"
      "  with /. Tab completes. Ctrl-C stops an answer, or clears the line.");
}

const ChatCommand& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const ChatCommand& command : kCommands) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  const std::string near = nearest(name, names);
  throw InputError(
      fmt::format("there is no command /{}{}", name,
                  near.empty() ? "; /help lists them" : fmt::format(": did you mean /{}?", near)));
}

std::string_view trimmed(std::string_view text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

struct Parts {
  std::string name, argument;
};
Parts parts_of(std::string_view line) {
  const std::string_view text = trimmed(line).substr(1);
  const size_t space = std::min(text.find_first_of(" \t\n"), text.size());
  return {std::string(text.substr(0, space)), std::string(trimmed(text.substr(space)))};
}

std::vector<std::string> files_like(const std::string& beginning) {
  const size_t slash = beginning.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "" : beginning.substr(0, slash + 1);
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, error), end; it != end && !error;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with('.') && beginning.size() == folder.size()) continue;
    std::error_code ignored;
    found.push_back(folder + name + (it->is_directory(ignored) ? "/" : ""));
  }
  return found;
}

std::vector<std::string> words_for(Chat& chat, Argument kind, const std::string& beginning) {
  std::vector<std::string> words;
  if (kind == Argument::setting) words = Chat::setting_names();
  if (kind == Argument::part) words = {"messages", "system", "template"};
  if (kind == Argument::file) words = files_like(beginning);
  if (kind == Argument::branch)
    for (const BranchInfo& branch : chat.conversation().branches()) words.push_back(branch.name);
  return words;
}

}  // namespace

bool is_command(std::string_view line) {
  const std::string_view text = trimmed(line);
  return text.starts_with('/') && !text.starts_with("//");
}

std::string_view message_of(std::string_view line) {
  return trimmed(line).starts_with("//") ? trimmed(line).substr(1) : line;
}

void run_command(Chat& chat, std::string_view line) {
  const Parts parts = parts_of(line);
  const ChatCommand& command = find_command(parts.name);
  const std::string_view arguments = command.arguments;
  if (arguments.empty() && !parts.argument.empty())
    throw InputError(fmt::format("/{}: it takes nothing after it", command.name));
  if (!arguments.empty() && !arguments.starts_with('[') && parts.argument.empty())
    throw InputError(fmt::format("/{} {}: a value is missing", command.name, arguments));
  command.run(chat, parts.argument);
}

Candidates complete_command(Chat& chat, std::string_view before_cursor) {
  if (!before_cursor.starts_with('/')) return {};
  Candidates out;
  const size_t space = before_cursor.find(' ');
  if (space == std::string_view::npos) {
    for (const ChatCommand& command : kCommands)
      out.words.push_back(fmt::format("/{}", command.name));
  } else {
    const std::string name(before_cursor.substr(1, space - 1));
    const auto* found = std::ranges::find(kCommands, name, &ChatCommand::name);
    if (found == std::end(kCommands)) return {};
    out.begin = std::min(before_cursor.find_first_not_of(' ', space), before_cursor.size());
    out.words = words_for(chat, found->kind, std::string(before_cursor.substr(out.begin)));
  }
  const std::string_view written = before_cursor.substr(out.begin);
  std::erase_if(out.words, [&](const std::string& word) { return !word.starts_with(written); });
  std::ranges::sort(out.words);
  return out;
}

}  // namespace krait::cli
