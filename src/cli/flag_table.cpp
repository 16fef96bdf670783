#include "src/cli/flag_table.h"

#include <algorithm>

#include <CLI/CLI.hpp>

namespace krait::cli {
namespace {

// "auto|cpu|cuda[:N]" is three words: what stands in brackets may follow.
std::vector<std::string> words_of(const std::string& value_name) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin <= value_name.size();) {
    const size_t end = std::min(value_name.find('|', begin), value_name.size());
    const std::string word = value_name.substr(begin, end - begin);
    words.push_back(word.substr(0, word.find('[')));
    begin = end + 1;
  }
  return words;
}

ValueKind kind_of(const std::string& value_name) {
  if (value_name.empty()) return ValueKind::none;
  if (value_name.find('|') != std::string::npos) return ValueKind::words;
  if (value_name == "MODEL") return ValueKind::model;
  if (value_name.starts_with("FILE") || value_name.starts_with("OUT.")) return ValueKind::file;
  return ValueKind::text;
}

Flag flag_of(const CLI::Option& option) {
  Flag flag;
  flag.help = option.get_description();
  flag.group = option.get_group();
  if (option.get_positional()) {
    flag.names = {option.get_name()};
    flag.repeats = !option.get_required();
    flag.value_name = option.get_type_name().empty() ? option.get_name() : option.get_type_name();
  } else {
    for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
    if (option.get_items_expected_max() > 0) flag.value_name = option.get_type_name();
  }
  flag.kind = kind_of(flag.value_name);
  if (flag.kind == ValueKind::words) flag.words = words_of(flag.value_name);
  return flag;
}

// Flags of one group together, groups in the order of their first flags: as --help shows them.
void group_flags(std::vector<Flag>& flags) {
  std::vector<std::string> groups;
  const auto place = [&](const Flag& flag) {
    const auto at = std::find(groups.begin(), groups.end(), flag.group);
    return at - groups.begin();
  };
  for (const Flag& flag : flags)
    if (place(flag) == std::ssize(groups)) groups.push_back(flag.group);
  std::stable_sort(flags.begin(), flags.end(),
                   [&](const Flag& a, const Flag& b) { return place(a) < place(b); });
}

}  // namespace

ProgramTable flag_table(const CLI::App& program) {
  ProgramTable table;
  table.help = program.get_description();
  table.footer = program.get_footer();
  for (const CLI::Option* option : program.get_options()) table.flags.push_back(flag_of(*option));
  for (const CLI::App* app : program.get_subcommands({})) {
    CommandTable command{app->get_name(), app->get_description(), app->get_footer(), {}, {}};
    for (const CLI::Option* option : app->get_options())
      (option->get_positional() ? command.positionals : command.flags).push_back(flag_of(*option));
    group_flags(command.flags);
    table.commands.push_back(std::move(command));
  }
  return table;
}

}  // namespace krait::cli
