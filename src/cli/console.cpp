#include "src/cli/console.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "krait/checkpoint.h"
#include "krait/error.h"
#include "src/base/file.h"
#include "src/base/wait_for_input.h"

namespace krait::cli {
namespace {

std::atomic<bool> interrupt_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // the handler below relies on it

std::atomic<bool> termination_requested = false;
std::atomic<bool> nothing_to_keep = false;
std::atomic<const char*> terminal_back = nullptr;
termios terminal_at_start = {};  // where standard input is one

// Of what may be called by a handler of signals.
extern "C" void on_interrupt(int signal) {
  if (signal != SIGINT) termination_requested = true;
  if (!interrupt_requested.exchange(true) && !nothing_to_keep) return;
  if (const char* bytes = terminal_back) {
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_at_start);
    while (*bytes != '\0' && ::write(STDERR_FILENO, bytes, 1) == 1) ++bytes;
  }
  _exit(130);
}

extern "C" void on_bus_error(int signal, siginfo_t* info, void*) {
  const int code = errno;
  if (!survive_bus_error(info->si_addr)) ::signal(signal, SIG_DFL);  // it comes again, and kills
  errno = code;
}

// The number of one that is closed would be given to the next file, and that would get our messages
// or be read as input. The wrong way round, so that using it still fails.
void fill_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(descriptor, F_GETFD) < 0)
      (void)::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void handle_signals() {
  struct sigaction action = {};
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
  tcgetattr(STDIN_FILENO, &terminal_at_start);
  struct sigaction bus_error = {};
  bus_error.sa_sigaction = on_bus_error;
  bus_error.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &bus_error, nullptr);
  action.sa_handler = on_interrupt;  // without SA_RESTART: a blocked read must return
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);  // nohup, `&` in sh
  }
}

spdlog::color_mode color_mode(const std::string& color) {
  if (color == "on") return spdlog::color_mode::always;
  const char* no_color = std::getenv("NO_COLOR");
  const bool forbidden = no_color != nullptr && *no_color != '\0';
  return color == "off" || forbidden ? spdlog::color_mode::never : spdlog::color_mode::automatic;
}

}  // namespace

Console::Console() {
  fill_standard_descriptors();
  handle_signals();
  configure({});
}

void Console::configure(const OutputFlags& flags) {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(color_mode(flags.color));
  colors_ = sink->should_color();
  auto logger = std::make_shared<spdlog::logger>("krait", std::move(sink));
  logger->set_pattern("%^%l:%$ %v");
  spdlog::set_default_logger(std::move(logger));
  auto level = flags.quiet     ? spdlog::level::err
               : flags.verbose ? spdlog::level::info
                               : spdlog::level::warn;
  if (!flags.log_level.empty()) level = spdlog::level::from_str(flags.log_level);
  spdlog::set_level(level);
  notes_ = !flags.quiet && !flags.json;
}

void Console::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      throw ClosedPipe{};
    } else if (errno == EAGAIN) {
      pollfd ready = {STDOUT_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      throw Failure(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
    }
  }
}

void Console::write_json(const nlohmann::ordered_json& value) {
  write(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Console::note(const std::string& line) {
  if (notes_) write_error(line + "\n");
}

void Console::progress(const std::string& line) {
  if (notes_ && ::isatty(STDERR_FILENO)) write_error("\r\x1b[K" + line);
}

const std::atomic<bool>& Console::interrupted() noexcept { return interrupt_requested; }

void Console::clear_interrupt() noexcept { interrupt_requested = false; }

bool Console::terminated() noexcept { return termination_requested; }

Console::NothingToKeep::NothingToKeep() {
  nothing_to_keep = true;
  if (!interrupt_requested) return;
  nothing_to_keep = false;
  throw Interrupted{};
}

Console::NothingToKeep::~NothingToKeep() { nothing_to_keep = false; }

void Console::owns_terminal(const char* bytes) noexcept { terminal_back = bytes; }

void write_error(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;
    text.remove_prefix(static_cast<size_t>(std::max<ssize_t>(written, 0)));
  }
}

int terminal_width(int descriptor) {
  winsize size{};
  const bool known = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string read_some(int descriptor, const std::string& what) {
  std::array<char, 65536> block;
  if (!wait_for_input(descriptor, interrupt_requested)) throw Interrupted{};
  return {block.data(), krait::read_some(descriptor, block.data(), block.size(), what)};
}

std::string read_all(int descriptor, const std::string& what) {
  // So that a pipe without an end ends in a message. The ids of as much text take four times that.
  constexpr size_t kMaxBytes = size_t{1} << 30;
  const auto require = [&](uint64_t bytes) {
    if (bytes > kMaxBytes)
      throw InputError(
          fmt::format("{}: more than {} bytes, the most that is accepted", what, kMaxBytes));
  };
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode))
    require(static_cast<uint64_t>(status.st_size));  // before all of it has been read
  std::string text;
  for (;;) {
    const std::string block = read_some(descriptor, what);
    if (block.empty()) return text;
    require(text.size() + block.size());
    text += block;
  }
}

std::string escaped(std::string_view text) {
  // JSON's rules are the ones that readers know; they already cover quotes and control characters.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace krait::cli
