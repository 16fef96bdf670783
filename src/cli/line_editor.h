// Lines typed at a terminal: editing, history, completion, pasting.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/cli/input_history.h"

namespace krait::cli {

// What a line may go on with: words that may stand from byte `begin` of it to the cursor.
struct Candidates {
  size_t begin = 0;
  std::vector<std::string> words;
};
using Complete = std::function<Candidates(std::string_view before_cursor)>;

struct Input {
  enum class Kind { text, cancelled, end };  // cancelled: Ctrl-C
  Kind kind = Kind::text;
  std::string text;
};

// Standard input and standard error are a terminal, which is as it was whenever read() has
// returned. One at a time in a process.
class LineEditor {
 public:
  LineEditor(InputHistory& history, Complete complete, bool colors);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // One line, which may hold newlines that were pasted. End: Ctrl-D on an empty line, a terminal
  // that has gone, SIGTERM.
  Input read(const std::string& prompt);

  // The line can be found again with the arrow keys, in later runs too.
  void remember(const std::string& line);

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;
  InputHistory& history_;
};

}  // namespace krait::cli
