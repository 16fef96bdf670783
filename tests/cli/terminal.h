// The program at a terminal, as somebody who types sees it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace krait {

class Terminal {
 public:
  // krait with these arguments, at a new terminal of 80 columns. `environment`: added to ours.
  explicit Terminal(const std::vector<std::string>& arguments,
                    const std::vector<std::pair<std::string, std::string>>& environment = {});
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys);

  // Waits until `text` has been shown since the last call that found what it waited for. Fails the
  // test when the program ends or half a minute has passed.
  bool sees(const std::string& text);

  // Waits for the prompt. Ctrl-D typed before it is no key of the program's.
  bool sees_prompt() { return sees("> "); }

  // All that was shown so far.
  const std::string& shown() const { return shown_; }

  void send(int signal);

  // Waits for the end; the exit code, or 128 + N for signal N.
  int finish();

  // The terminal goes away, and the program is told by SIGHUP. Waits for the end, as finish() does.
  int hang_up();

  // Whether lines are edited by the terminal again, and keys give signals; after finish().
  bool is_restored() const { return is_restored_; }

 private:
  bool read_some();

  pid_t pid_ = -1;
  int wait();

  int terminal_ = -1;
  bool is_restored_ = false;
  std::string shown_;
  size_t seen_ = 0;
};

}  // namespace krait
