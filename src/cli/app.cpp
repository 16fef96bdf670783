#include "src/cli/app.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/cli/command.h"
#include "src/cli/help.h"

namespace krait::cli {
namespace {

constexpr const char* kDescription =
    "krait runs Mamba-family language models on this machine. Without -m it uses the\n"
    "model that comes with it.";
constexpr const char* kFooter = R"(Each command explains itself: krait generate --help

Example:
  krait generate -p "Once upon a time")";

std::string see_help(const CLI::App& app) {
  return app.get_parent() == nullptr ? "see krait --help"
                                     : "see krait " + app.get_name() + " --help";
}

std::vector<std::string> long_flags(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

[[noreturn]] void refuse_argument(const CLI::App& app, const std::string& argument) {
  const bool is_flag = argument.size() > 1 && argument.starts_with('-');
  std::string what;
  std::vector<std::string> names;
  if (is_flag) {
    what = "unknown flag";
    names = long_flags(app);
  } else if (app.get_parent() == nullptr) {
    what = "unknown command";
    for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  } else {
    const bool takes_text = app.get_option_no_throw("--prompt") != nullptr;
    throw InputError(fmt::format("unexpected argument '{}'{}; {}", argument,
                                 takes_text ? ": text goes after -p, in quotes" : "",
                                 see_help(app)));
  }
  const std::string word = argument.substr(0, argument.find('='));
  const std::string near = nearest(word, names);
  throw InputError(fmt::format("{} '{}'{}; {}", what, word,
                               near.empty() ? "" : fmt::format(": did you mean {}?", near),
                               see_help(app)));
}

// CLI11 reads "--flag=" as a flag whose value is the next argument. Here it is an empty value.
std::vector<std::string> split_empty_values(const CLI::App& program, int argc,
                                            const char* const* argv) {
  std::vector<std::string> arguments;
  const auto named = program.get_subcommands(
      [&](const CLI::App* command) { return argc > 1 && command->get_name() == argv[1]; });
  const CLI::App* command = named.empty() ? nullptr : named.front();
  bool is_value = false;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    const bool empty_value = !is_value && argument.starts_with("--") && argument.ends_with('=');
    if (empty_value) argument.pop_back();
    arguments.push_back(argument);
    if (empty_value) arguments.push_back("");
    const CLI::Option* option =
        is_value || command == nullptr ? nullptr : command->get_option_no_throw(argument);
    is_value = !empty_value && option != nullptr && option->get_items_expected_min() > 0;
  }
  return arguments;
}

std::vector<Command> add_commands(CLI::App& program) {
  program.formatter(std::make_shared<HelpFormatter>());
  program.footer(kFooter);
  program.require_subcommand(0, 1);
  std::vector<Command> commands;
  for (const auto add : {add_generate, add_chat, add_batch, add_score, add_tokenize, add_info,
                         add_models, add_demo, add_bench, add_quantize, add_completions, add_man})
    commands.push_back(add(program));
  const auto common = [](CLI::App& app) {
    app.allow_extras();
    app.set_help_flag("-h,--help", "Show this help")->group("Output");
    app.set_version_flag("--version", std::string("krait ") + KRAIT_VERSION, "Show the version")
        ->group("Output");
  };
  common(program);
  for (const Command& command : commands) {
    common(*command.app);
    command.app->group("Commands");
  }
  return commands;
}

int dispatch(int argc, const char* const* argv, Console& console) {
  CLI::App program(kDescription, "krait");
  const std::vector<Command> commands = add_commands(program);
  std::vector<std::string> arguments = split_empty_values(program, argc, argv);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  const auto chosen = [&]() -> const CLI::App& {
    const auto parsed = program.get_subcommands();
    return parsed.empty() ? program : *parsed.front();
  };
  try {
    program.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    console.write(program.help());
    return kExitSuccess;
  } catch (const CLI::CallForVersion& version) {
    console.write(std::string(version.what()) + "\n");
    return kExitSuccess;
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string flag = std::string(e.what()).substr(0, std::string_view(e.what()).find(':'));
    throw InputError(fmt::format("{}: a value is missing; {}", flag, see_help(chosen())));
  } catch (const CLI::ConversionError& e) {  // "Could not convert: --json = x"
    const std::string flag = std::string(e.what()).substr(std::string_view(e.what()).find('-'));
    throw InputError(fmt::format("{}: this flag takes no value; {}", flag, see_help(chosen())));
  } catch (const CLI::ParseError& e) {
    throw InputError(fmt::format("{}; {}", e.what(), see_help(chosen())));
  }
  const std::vector<std::string> unknown = chosen().remaining();
  if (!unknown.empty()) refuse_argument(chosen(), unknown.front());
  for (const Command& command : commands)
    if (command.app->parsed()) return command.run(console);
  write_error(program.help());
  return kExitBadInput;
}

int out_of_memory() {
  write_error("error: out of memory\n");  // the log would need some
  return kExitFailure;
}

std::terminate_handler terminate_before;

// Memory may run out where nothing can be thrown: a JSON value needs some to be destroyed.
[[noreturn]] void on_terminate() {
  try {
    if (const auto exception = std::current_exception()) std::rethrow_exception(exception);
  } catch (const std::bad_alloc&) {
    ::_exit(out_of_memory());
  } catch (...) {
  }
  terminate_before();
  std::abort();
}

}  // namespace

int run(int argc, const char* const* argv) {
  terminate_before = std::set_terminate(on_terminate);
  try {
    Console console;
    return dispatch(argc, argv, console);
  } catch (const ClosedPipe&) {
    return kExitSuccess;
  } catch (const Interrupted&) {
    return kExitInterrupted;
  } catch (const InputError& e) {
    spdlog::error("{}", e.what());
    return kExitBadInput;
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    spdlog::error("{}", e.what());
    return kExitFailure;
  }
}

}  // namespace krait::cli
