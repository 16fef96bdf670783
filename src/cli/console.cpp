#include "src/cli/console.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "krait/error.h"

namespace krait::cli {
namespace {

std::atomic<bool> interrupt_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // the handler below relies on it

std::atomic<bool> termination_requested = false;

extern "C" void on_interrupt(int signal) {
  if (signal == SIGTERM) termination_requested = true;
  if (interrupt_requested.exchange(true)) _exit(130);
}

void handle_signals() {
  struct sigaction action = {};
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
  action.sa_handler = on_interrupt;  // without SA_RESTART: a blocked read must return
  for (const int signal : {SIGINT, SIGTERM}) {
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
  if (notes_) fmt::print(stderr, "{}\n", line);
}

void Console::progress(const std::string& line) {
  if (notes_ && ::isatty(STDERR_FILENO)) fmt::print(stderr, "\r\x1b[K{}", line);
}

const std::atomic<bool>& Console::interrupted() noexcept { return interrupt_requested; }

void Console::clear_interrupt() noexcept { interrupt_requested = false; }

bool Console::terminated() noexcept { return termination_requested; }

int terminal_width(int descriptor) {
  winsize size{};
  const bool known = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string read_some(int descriptor, const std::string& what) {
  std::array<char, 65536> block;
  for (;;) {
    if (interrupt_requested) throw Interrupted{};
    const ssize_t count = ::read(descriptor, block.data(), block.size());
    if (count >= 0) return {block.data(), static_cast<size_t>(count)};
    if (errno != EINTR) throw InputError(fmt::format("{}: {}", what, std::strerror(errno)));
  }
}

std::string read_all(int descriptor, const std::string& what) {
  std::string text;
  for (;;) {
    const std::string block = read_some(descriptor, what);
    if (block.empty()) return text;
    text += block;
  }
}

std::string escaped(std::string_view text) {
  // JSON's rules are the ones that readers know; they already cover quotes and control characters.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace krait::cli
