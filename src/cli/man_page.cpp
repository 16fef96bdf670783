#include "src/cli/man_page.h"

#include <utility>

#include <fmt/format.h>

namespace krait::cli {
namespace {

struct ExitCode {
  const char* code;
  const char* meaning;
};
constexpr ExitCode kExitCodes[] = {
    {"0", "Success."},
    {"1", "Failure: out of memory, a full disk."},
    {"2",
     "Bad usage or bad input: the message names the flag or file, what was found and what was "
     "expected."},
    {"3", "A batch has finished, but some of its lines failed: their results say why."},
    {"130", "Interrupted; what was written so far stays."},
};

struct Variable {
  const char* name;
  const char* meaning;
};
constexpr Variable kVariables[] = {
    {"HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME",
     "Where models of the Hugging Face hub are looked for: HF_HUB_CACHE itself, hub in HF_HOME, "
     "huggingface/hub in XDG_CACHE_HOME, else ~/.cache/huggingface/hub. Nothing is downloaded."},
    {"NO_COLOR", "No colours in messages."},
};

// Text as roff shows it literally: no escapes, no requests, and "-" as the character that flags
// begin with.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    line_start = c == '\n';
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '"': out += "\\(dq"; break;
      case '~': out += "\\(ti"; break;
      case '^': out += "\\(ha"; break;
      case '`': out += "\\(ga"; break;
      case '\'': out += "\\(aq"; break;
      default: out += c;
    }
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + roff(text) + "\\fR"; }

std::string entry(const Flag& flag) {
  std::string head;
  for (const std::string& name : flag.names) head += (head.empty() ? "" : ", ") + bold(name);
  const bool is_positional = !flag.names[0].starts_with('-');
  if (!flag.value_name.empty() && !is_positional) head += " " + italic(flag.value_name);
  return ".TP\n" + head + "\n" + roff(flag.help) + "\n";
}

// Lines as they are, in the font of a terminal.
std::string verbatim(std::string_view text) { return ".PP\n.EX\n" + roff(text) + "\n.EE\n"; }

std::string command_section(const CommandTable& command) {
  std::string usage = bold("krait " + command.name);
  for (const Flag& flag : command.positionals)
    usage += flag.repeats ? " [" + italic(flag.names[0]) + "...]" : " " + italic(flag.names[0]);
  std::string text = ".SS " + bold("krait " + command.name) + "\n" + usage + " [" +
                     italic("flags") + "]\n.PP\n" + roff(command.help) + ".\n";
  for (const Flag& flag : command.positionals) text += entry(flag);
  std::string group;
  for (const Flag& flag : command.flags) {
    if (std::exchange(group, flag.group) != flag.group) text += ".PP\n" + italic(flag.group) + "\n";
    text += entry(flag);
  }
  return text + verbatim(command.footer);
}

}  // namespace

std::string man_page(const ProgramTable& program) {
  std::string text = ".TH KRAIT 1 \"\" \"krait " KRAIT_VERSION "\" \"User Commands\"\n";
  text += ".SH NAME\nkrait \\- run Mamba\\-family language models\n";
  text +=
      ".SH SYNOPSIS\n" + bold("krait") + " " + italic("COMMAND") + " [" + italic("flags") + "]\n";
  text += ".SH DESCRIPTION\n" + roff(program.help) + "\n";
  for (const Flag& flag : program.flags) text += entry(flag);
  text += verbatim(program.footer);
  text += ".SH COMMANDS\n";
  for (const CommandTable& command : program.commands) text += command_section(command);
  text += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : kExitCodes)
    text += fmt::format(".TP\n{}\n{}\n", bold(code), roff(meaning));
  text += ".SH ENVIRONMENT\n";
  for (const auto& [name, meaning] : kVariables)
    text += fmt::format(".TP\n{}\n{}\n", bold(name), roff(meaning));
  return text;
}

}  // namespace krait::cli
