// The commands and their flags as data, read off the parser itself, so that completions and the
// manual say what the program does and nothing is written twice.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace krait::cli {

enum class ValueKind {
  none,   // a switch
  text,   // anything
  words,  // one of Flag::words
  file,
  model,  // a name that -m takes, or a file or folder
};

struct Flag {
  std::vector<std::string> names;  // "-m", "--model"; of a positional argument its one name
  std::string value_name;          // "MODEL", "auto|on|off"; empty for a switch
  ValueKind kind = ValueKind::none;
  std::vector<std::string> words;
  std::string help;
  std::string group;
  bool repeats = false;  // a positional argument that may be left out or given several times
};

struct CommandTable {
  std::string name;
  std::string help;
  std::string footer;
  std::vector<Flag> positionals;
  std::vector<Flag> flags;
};

struct ProgramTable {
  std::string help;
  std::string footer;
  std::vector<Flag> flags;  // without a command
  std::vector<CommandTable> commands;
};

ProgramTable flag_table(const CLI::App& program);

}  // namespace krait::cli
