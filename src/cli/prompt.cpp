#include "src/cli/prompt.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/file.h"
#include "src/cli/console.h"

namespace krait::cli {
namespace {

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string read_file(const std::string& path) {
  const std::string what = "--file " + path;
  const Descriptor file(path, O_RDONLY);
  if (!file) throw InputError(fmt::format("{}: {}", what, std::strerror(errno)));
  return read_all(file.number(), what);
}

}  // namespace

Prompt read_prompt(const PromptFlags& flags) {
  if (flags.text.has_value() + flags.file.has_value() + flags.ids.has_value() > 1)
    throw InputError("more than one of --prompt, --file and --ids: give only one");
  if (flags.ids) return {"", flags.ids};
  if (flags.text) return {*flags.text, std::nullopt};
  if (flags.file && *flags.file != "-")
    return {without_last_newline(read_file(*flags.file)), std::nullopt};
  if (!flags.file && ::isatty(STDIN_FILENO))
    throw InputError(
        "there is no prompt: give one with -p TEXT or -f FILE, or pipe text into krait");
  return {without_last_newline(read_all(STDIN_FILENO, "standard input")), std::nullopt};
}

}  // namespace krait::cli
