#include "src/cli/text_editor.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/file.h"
#include "src/cli/console.h"

namespace krait::cli {
namespace {

constexpr size_t kMaxBytes = size_t{64} << 20;

// A file that only its owner can read, gone with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_((std::filesystem::temp_directory_path() / "krait-message-XXXXXX").string()) {
    const Descriptor file(::mkostemp(path_.data(), O_CLOEXEC));
    if (!file) throw_errno("create", path_);
    write_all(file.number(), text, path_);
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string editor() {
  for (const char* name : {"VISUAL", "EDITOR"})
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  return "vi";
}

// The command may have arguments of its own, as shells allow in these variables.
int run_editor(const std::string& command, const std::string& path) {
  struct sigaction ignore = {}, before = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGINT, &ignore, &before);  // Ctrl-C is the editor's now
  const pid_t child = ::fork();
  if (child == 0) {
    sigaction(SIGINT, &before, nullptr);
    const std::string script = command + " \"$1\"";
    ::execl("/bin/sh", "sh", "-c", script.c_str(), "krait", path.c_str(), nullptr);
    ::_exit(127);
  }
  int status = -1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  sigaction(SIGINT, &before, nullptr);
  return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::string edit_text(const std::string& start) {
  const TemporaryFile file(start.empty() ? "" : start + "\n");
  const std::string command = editor();
  const int status = run_editor(command, file.path());
  if (status != 0)
    throw InputError(
        fmt::format("the editor '{}' {}; set VISUAL or EDITOR to one that works", command,
                    status == 127 ? "was not found" : fmt::format("ended with {}", status)));
  std::string text = read_text_file(file.path(), kMaxBytes);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace krait::cli
