#include "src/cli/shell_completion.h"

#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace krait::cli {
namespace {

// `text` with `escape` before each of `special`.
std::string escaped_for(std::string_view text, std::string_view special, std::string_view escape) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += escape;
    out += c;
  }
  return out;
}

// Between single quotes in bash and zsh.
std::string sh_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::vector<std::string> flag_names(const CommandTable& command) {
  std::vector<std::string> names;
  for (const Flag& flag : command.flags)
    names.insert(names.end(), flag.names.begin(), flag.names.end());
  return names;
}

// ---- bash -----------------------------------------------------------------------------------

constexpr const char* kBashHead = R"sh(# Completion of krait for bash.

_krait_words() {
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_krait_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

_krait_models() {
  _krait_files
  local name
  while read -r name; do
    [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
  done < <("${COMP_WORDS[0]}" models --names 2>/dev/null)
}

_krait() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=
  COMPREPLY=()
  ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
  # --flag=value comes as three words.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
)sh";

std::string bash_action(const Flag& flag) {
  switch (flag.kind) {
    case ValueKind::words: return fmt::format("_krait_words '{}'", fmt::join(flag.words, " "));
    case ValueKind::file: return "_krait_files";
    case ValueKind::model: return "_krait_models";
    case ValueKind::text:
    case ValueKind::none: break;
  }
  return ":";
}

// What follows a flag that takes a value: the same actions under one list of patterns.
std::string bash_values(const ProgramTable& program) {
  std::map<std::string, std::vector<std::string>> patterns;
  for (const CommandTable& command : program.commands)
    for (const Flag& flag : command.flags)
      for (const std::string& name : flag.names)
        if (flag.kind != ValueKind::none)
          patterns[bash_action(flag)].push_back(command.name + ":" + name);
  std::string text = "  case $command:$prev in\n";
  for (const auto& [action, flags] : patterns)
    text += fmt::format("    {})\n      {}\n      return ;;\n", fmt::join(flags, " | "), action);
  return text + "  esac\n";
}

std::string bash_positionals(const CommandTable& command) {
  for (const Flag& flag : command.positionals)  // the first kind serves for all
    if (flag.kind != ValueKind::text) return bash_action(flag);
  return fmt::format("_krait_words '{}'", fmt::join(flag_names(command), " "));
}

// ---- zsh ------------------------------------------------------------------------------------

std::string zsh_action(const Flag& flag) {
  switch (flag.kind) {
    case ValueKind::words: return fmt::format("({})", fmt::join(flag.words, " "));
    case ValueKind::file: return "_files";
    case ValueKind::model: return "_krait_models";
    case ValueKind::text:
    case ValueKind::none: break;
  }
  return " ";
}

std::string zsh_help(std::string_view text) { return escaped_for(text, "[]:\\", "\\"); }

// '(-m --model)'{-m+,--model=}'[help]:MODEL:_krait_models'
std::string zsh_flag(const Flag& flag) {
  std::vector<std::string> spelt;
  for (const std::string& name : flag.names) {
    const char* joint = flag.kind == ValueKind::none ? "" : name.starts_with("--") ? "=" : "+";
    spelt.push_back(name + joint);
  }
  std::string text = spelt.size() == 1 ? spelt[0]
                                       : fmt::format("'({})'{{{}}}", fmt::join(flag.names, " "),
                                                     fmt::join(spelt, ","));
  std::string rest = "[" + zsh_help(flag.help) + "]";
  if (flag.kind != ValueKind::none)
    rest += ":" + zsh_help(flag.value_name) + ":" + zsh_action(flag);
  return text + sh_quoted(rest);
}

// ---- fish -----------------------------------------------------------------------------------

std::string fish_quoted(std::string_view text) {
  return "'" + escaped_for(text, "'\\", "\\") + "'";
}

constexpr const char* kFishModels = "(krait models --names 2>/dev/null)";

std::string fish_action(const Flag& flag) {
  switch (flag.kind) {
    case ValueKind::words:
      return " -x -a " + fish_quoted(fmt::format("{}", fmt::join(flag.words, " ")));
    case ValueKind::file: return " -r -F";
    case ValueKind::model: return fmt::format(" -r -F -a '{}'", kFishModels);
    case ValueKind::text: return " -x";
    case ValueKind::none: break;
  }
  return "";
}

std::string fish_flag(const Flag& flag) {
  std::string text;
  for (const std::string& name : flag.names)
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  return text + fish_action(flag) + " -d " + fish_quoted(flag.help);
}

}  // namespace

std::string bash_completion(const ProgramTable& program) {
  std::string text = kBashHead + bash_values(program) + "  case $command in\n";
  for (const CommandTable& command : program.commands) {
    text += fmt::format("    {})\n", command.name);
    const std::string flags = fmt::format("_krait_words '{}'", fmt::join(flag_names(command), " "));
    const std::string others = bash_positionals(command);
    if (others == flags) {
      text += "      " + flags + " ;;\n";
    } else {
      text += fmt::format(
          "      if [[ $cur == -* ]]; then\n        {}\n      else\n        {}\n      fi ;;\n",
          flags, others);
    }
  }
  std::vector<std::string> first;
  for (const CommandTable& command : program.commands) first.push_back(command.name);
  for (const Flag& flag : program.flags)
    first.insert(first.end(), flag.names.begin(), flag.names.end());
  text += fmt::format("    '')\n      _krait_words '{}' ;;\n  esac\n}}\n\n", fmt::join(first, " "));
  return text + "complete -F _krait krait\n";
}

std::string zsh_completion(const ProgramTable& program) {
  std::string text = R"sh(#compdef krait
# Completion of krait for zsh.

_krait_models() {
  _alternative 'models:model:($(krait models --names 2>/dev/null))' 'files:file:_files'
}

_krait() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C)sh";
  for (const Flag& flag : program.flags) text += " \\\n    " + zsh_flag(flag);
  text += R"sh( \
    ':command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands=()sh";
  for (const CommandTable& command : program.commands)
    text += "\n        " + sh_quoted(command.name + ":" + escaped_for(command.help, ":\\", "\\"));
  text += R"sh()
      _describe command commands ;;
    argument)
      case $words[1] in)sh";
  for (const CommandTable& command : program.commands) {
    text += "\n        " + command.name + ")\n          _arguments";
    for (const Flag& flag : command.flags) text += " \\\n            " + zsh_flag(flag);
    for (const Flag& flag : command.positionals)
      text += " \\\n            " + sh_quoted((flag.repeats ? "*:" : ":") +
                                              zsh_help(flag.names[0]) + ":" + zsh_action(flag));
    text += " ;;";
  }
  return text + R"sh(
      esac ;;
  esac
}

if [[ $funcstack[1] == _krait ]]; then
  _krait "$@"
else
  compdef _krait krait
fi
)sh";
}

std::string fish_completion(const ProgramTable& program) {
  std::string text = "# Completion of krait for fish.\n\ncomplete -c krait -f\n";
  for (const Flag& flag : program.flags)
    text += "complete -c krait -n __fish_use_subcommand" + fish_flag(flag) + "\n";
  for (const CommandTable& command : program.commands) {
    text += fmt::format("\ncomplete -c krait -n __fish_use_subcommand -a {} -d {}\n", command.name,
                        fish_quoted(command.help));
    const std::string seen =
        fmt::format("complete -c krait -n '__fish_seen_subcommand_from {}'", command.name);
    for (const Flag& flag : command.flags) text += seen + fish_flag(flag) + "\n";
    for (const Flag& flag : command.positionals)
      if (flag.kind != ValueKind::text) text += seen + fish_action(flag) + "\n";
  }
  return text;
}

}  // namespace krait::cli
