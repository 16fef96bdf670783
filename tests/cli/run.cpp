#include "tests/cli/run.h"

#include <array>
#include <fstream>
#include <stdexcept>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace krait {
namespace {

constexpr int kTimeoutMs = 120'000;

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  return ends;
}

void close_once(int& descriptor) {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

// Inputs of the tests fit into the pipe, so nobody has to feed it.
int input_of(const std::string& text, const std::string& path) {
  if (!path.empty()) return ::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
  const auto [read_end, write_end] = make_pipe();
  if (::write(write_end, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("input too long for a pipe");
  ::close(write_end);
  return read_end;
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, const std::string& input,
                 const std::string& input_path, const std::string& output_path) {
  int in = input_of(input, input_path);
  auto out = make_pipe();
  auto err = make_pipe();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  if (output_path.empty()) {
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_path.c_str(), O_WRONLY, 0);
  }
  // As a shell starts it, though we may be in the background, or under nohup.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> all = {KRAIT_TEST_BINARY};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int error =
      posix_spawn(&pid_, KRAIT_TEST_BINARY, &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  for (int* mine : {&in, &out[1], &err[1]}) close_once(*mine);
  if (error != 0) throw std::runtime_error("cannot start " KRAIT_TEST_BINARY);
  out_ = out[0];
  err_ = err[0];
}

Process::~Process() {
  if (pid_ > 0) finish();
}

bool Process::read_some(int timeout_ms) {
  std::array<pollfd, 2> fds = {pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  if (::poll(fds.data(), fds.size(), timeout_ms) <= 0) {
    ADD_FAILURE() << "krait hangs";
    ::kill(pid_, SIGKILL);
    return false;
  }
  const auto drain = [](const pollfd& fd, int& descriptor, std::string& text) {
    if (descriptor < 0 || fd.revents == 0) return;
    std::array<char, 65536> block;
    const ssize_t count = ::read(descriptor, block.data(), block.size());
    if (count > 0) {
      text.append(block.data(), static_cast<size_t>(count));
    } else {
      close_once(descriptor);
    }
  };
  drain(fds[0], out_, result_.out);
  drain(fds[1], err_, result_.err);
  return true;
}

bool Process::wait_for_output(size_t bytes) {
  while (result_.out.size() < bytes && out_ >= 0)
    if (!read_some(kTimeoutMs)) return false;
  return result_.out.size() >= bytes;
}

bool Process::wait_for_error(const std::string& text) {
  const auto found = [&] { return result_.err.find(text) != std::string::npos; };
  while (!found() && err_ >= 0)
    if (!read_some(kTimeoutMs)) return false;
  return found();
}

std::string Process::status_of(const std::string& key) const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return line.substr(key.size());
  return "";
}

void Process::wait_for_handler() {
  for (int tries = 0; tries < kTimeoutMs / 10; ++tries) {
    const std::string caught = status_of("SigCgt:");  // a mask, hexadecimal
    if (!caught.empty() && (std::stoull(caught, nullptr, 16) >> (SIGINT - 1) & 1)) return;
    ::usleep(10'000);
  }
  ADD_FAILURE() << "no handler of SIGINT";
}

int64_t Process::peak_memory() const { return std::stoll(status_of("VmHWM:")) * 1024; }

void Process::send(int signal) { ::kill(pid_, signal); }

void Process::close_output() { close_once(out_); }

void Process::close_error() { close_once(err_); }

Result Process::finish() {
  while (out_ >= 0 || err_ >= 0)
    if (!read_some(kTimeoutMs)) break;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  close_once(out_);
  close_once(err_);
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result_;
}

Result run(const std::vector<std::string>& arguments, const std::string& input) {
  return Process(arguments, input).finish();
}

nlohmann::json run_json(std::vector<std::string> arguments, const std::string& input) {
  arguments.push_back("--json");
  const Result result = run(arguments, input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto value = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_FALSE(value.is_discarded()) << result.out;
  EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << "one line";
  return value;
}

}  // namespace krait
