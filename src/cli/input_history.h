// What was typed at the prompt, over many runs of the program.
#pragma once

#include <string>
#include <vector>

namespace krait::cli {

// Lines of a file that only its owner can read. Several programs may add to it at the same time.
class InputHistory {
 public:
  // $XDG_STATE_HOME/krait/history, or ~/.local/state/krait/history. Empty, and nothing is kept,
  // with KRAIT_NOHISTORY set, or where there is no home.
  static std::string default_path();

  // Reads what there is; never throws: without a history one can still talk.
  explicit InputHistory(std::string path);

  // Oldest first; at most a thousand.
  const std::vector<std::string>& entries() const noexcept { return entries_; }

  // Also writes it to the file, which is made with its folders where it is missing.
  void add(const std::string& entry);

 private:
  void shorten_file() const;

  std::string path_;
  std::vector<std::string> entries_;
};

}  // namespace krait::cli
