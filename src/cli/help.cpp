#include "src/cli/help.h"

namespace krait::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kIndent = 26;  // where the descriptions begin

// `left` and beside it `text`, wrapped between words.
std::string entry(const std::string& left, const std::string& text) {
  std::string out = "  " + left;
  size_t column = out.size();
  const auto new_line = [&] {
    out += "\n" + std::string(kIndent, ' ');
    column = kIndent;
  };
  if (column + 2 > kIndent) {
    new_line();
  } else {
    out.append(kIndent - column, ' ');
    column = kIndent;
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const size_t length = end - begin;
    if (column > kIndent && column + 1 + length > kWidth) new_line();
    if (column > kIndent) {
      out += ' ';
      ++column;
    }
    out.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return out + "\n";
}

std::string spaced_names(const CLI::Option* option) {
  std::string out;
  for (const char c : option->get_name(false, true)) out += c == ',' ? ", " : std::string(1, c);
  return out;
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::string page = make_description(app) + "\n" + make_usage(app, name) + make_positionals(app) +
                     make_subcommands(app, mode) + make_groups(app, mode) + "\n" +
                     app->get_footer() + "\n";
  for (size_t at; (at = page.find("\n\n\n")) != std::string::npos;) page.erase(at, 1);
  return page;
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool) const {
  const std::string value = option->get_type_size() == 0 ? "" : " " + option->get_type_name();
  return entry(spaced_names(option) + value, option->get_description());
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  return entry(command->get_name(), command->get_description());
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string) const {
  if (app->get_parent() == nullptr) return "Usage: krait COMMAND [flags]\n";
  std::string words = app->get_name();
  for (const CLI::Option* option : app->get_options())
    if (option->get_positional())
      words +=
          " " + (option->get_required() ? option->get_name() : "[" + option->get_name() + "...]");
  return "Usage: krait " + words + " [flags]\n";
}

}  // namespace krait::cli
