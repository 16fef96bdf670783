// The program's side of the terminal: standard output, messages on standard error, signals.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "src/cli/options.h"

namespace krait::cli {

// Thrown when the reader of standard output has gone away: the program ends quietly.
struct ClosedPipe {};

// Thrown when Ctrl-C, SIGTERM or SIGHUP arrives where there is nothing worth keeping.
struct Interrupted {};

class Console {
 public:
  // Ignores SIGPIPE and SIGXFSZ: writing tells of them. The first SIGINT, SIGTERM or SIGHUP sets
  // interrupted(), the second ends the process at once, with 130. Survives SIGBUS where a file of a
  // model is at fault.
  Console();

  // Log level and colours. Until then: warnings and errors, colours if standard error has them.
  void configure(const OutputFlags& flags);

  // Writes to standard output at once. Throws ClosedPipe, and Failure for any other write
  // error.
  void write(std::string_view text);

  // One line of JSON. Text that is not valid UTF-8 is replaced character by character.
  void write_json(const nlohmann::ordered_json& value);

  // A line of statistics on standard error, unless -q or --json asked for none.
  void note(const std::string& line);

  // Shows `line` in place of the one before, and nothing of it stays after progress(""). Only where
  // standard error is a terminal and nobody asked for silence.
  void progress(const std::string& line);

  static const std::atomic<bool>& interrupted() noexcept;

  // Ctrl-C has done its work; the next one is the first again.
  static void clear_interrupt() noexcept;

  // Whether SIGTERM or SIGHUP was among what came.
  static bool terminated() noexcept;

  // While one lives the first signal, too, ends the process at once: nothing has begun that
  // somebody would want the beginning of. The constructor throws Interrupted when one has come
  // before.
  class NothingToKeep {
   public:
    NothingToKeep();
    ~NothingToKeep();
    NothingToKeep(const NothingToKeep&) = delete;
    NothingToKeep& operator=(const NothingToKeep&) = delete;
  };

  // While `bytes` are given, the terminal is in a mode of our own: whatever ends the process puts
  // it back to how it was at the start, and writes them. They must stay where they are.
  static void owns_terminal(const char* bytes) noexcept;

  // Whether to write colours on standard error.
  bool colors() const noexcept { return colors_; }

 private:
  bool notes_ = true;
  bool colors_ = false;
};

// Writes to standard error. What nobody can read any more is dropped.
void write_error(std::string_view text) noexcept;

// Columns of the terminal that a descriptor is; 80 where it does not tell.
int terminal_width(int descriptor);

// The next bytes from a descriptor, as soon as there are any; none at the end. Throws Interrupted,
// and for a read error like throw_errno; `what` names the source.
std::string read_some(int descriptor, const std::string& what);

// The same until the end.
std::string read_all(int descriptor, const std::string& what);

// `text` in double quotes on one line, control characters and invalid UTF-8 as escapes.
std::string escaped(std::string_view text);

}  // namespace krait::cli
