#include <CLI/CLI.hpp>

#include "krait/error.h"
#include "src/cli/command.h"
#include "src/cli/man_page.h"
#include "src/cli/shell_completion.h"

namespace krait::cli {
namespace {

constexpr const char* kCompletionsExamples =
    R"(Where the packages put it: share/bash-completion/completions/krait,
share/zsh/site-functions/_krait, share/fish/vendor_completions.d/krait.fish.

Examples:
  source <(krait completions bash)
  krait completions zsh > ~/.zfunc/_krait
  krait completions fish > ~/.config/fish/completions/krait.fish)";

constexpr const char* kManExamples = R"(Example:
  krait man | man -l -)";

struct Shell {
  const char* name;
  std::string (*script)(const ProgramTable&);
};
constexpr Shell kShells[] = {
    {"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}};

}  // namespace

Command add_completions(CLI::App& program) {
  CLI::App* app = program.add_subcommand("completions", "Write a completion script for a shell");
  app->footer(kCompletionsExamples);
  const auto shell = std::make_shared<const Shell*>(nullptr);
  add_text(*app, "SHELL", "bash|zsh|fish", "The shell", [=](const std::string& text) {
    for (const Shell& known : kShells)
      if (text == known.name) *shell = &known;
    if (*shell == nullptr)
      throw InputError("SHELL " + escaped(text) + ": expected bash, zsh or fish");
  })->required();
  return {app, [=, &program](Console& console) {
            console.write((*shell)->script(flag_table(program)));
            return kExitSuccess;
          }};
}

Command add_man(CLI::App& program) {
  CLI::App* app = program.add_subcommand("man", "Write the manual page");
  app->footer(kManExamples);
  return {app, [&program](Console& console) {
            console.write(man_page(flag_table(program)));
            return kExitSuccess;
          }};
}

}  // namespace krait::cli
