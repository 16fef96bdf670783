#include "tests/cli/terminal.h"

#include <array>
#include <cstdlib>
#include <stdexcept>

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace krait {
namespace {

constexpr int kTimeoutMs = 10'000;

}  // namespace

Terminal::Terminal(const std::vector<std::string>& arguments,
                   const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<std::string> all = {KRAIT_TEST_BINARY};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  winsize size = {};
  size.ws_row = 30;
  size.ws_col = 80;
  pid_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
  if (pid_ < 0) throw std::runtime_error("forkpty");
  if (pid_ > 0) return;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
  ::setenv("TERM", "xterm", 1);
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

Terminal::~Terminal() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  finish();
}

void Terminal::type(const std::string& keys) {
  ASSERT_EQ(::write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

bool Terminal::read_some() {
  pollfd ready = {terminal_, POLLIN, 0};
  if (::poll(&ready, 1, kTimeoutMs) <= 0) return false;
  std::array<char, 4096> block;
  const ssize_t count = ::read(terminal_, block.data(), block.size());  // EIO when it has ended
  if (count > 0) shown_.append(block.data(), static_cast<size_t>(count));
  return count > 0;
}

bool Terminal::sees(const std::string& text) {
  size_t at = 0;
  while ((at = shown_.find(text, seen_)) == std::string::npos)
    if (!read_some()) {
      ADD_FAILURE() << "did not see '" << text << "' in:\n" << shown_.substr(seen_);
      return false;
    }
  seen_ = at + text.size();
  return true;
}

void Terminal::send(int signal) { ::kill(pid_, signal); }

int Terminal::finish() {
  while (read_some()) {
  }
  termios mode = {};
  constexpr tcflag_t kAtStart = ICANON | ECHO | ISIG;
  is_restored_ = ::tcgetattr(terminal_, &mode) == 0 && (mode.c_lflag & kAtStart) == kAtStart;
  ::close(terminal_);
  return wait();
}

int Terminal::hang_up() {
  ::close(terminal_);
  return wait();
}

int Terminal::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace krait
