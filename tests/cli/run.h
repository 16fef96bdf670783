// Runs the program `krait` as a user would, and looks at what comes out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/types.h>

namespace krait {

struct Result {
  int exit_code = -1;  // 128 + N when it died of signal N
  std::string out;
  std::string err;
};

// A running krait. Standard input is a pipe that holds `input`, or the file `input_path`.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments, const std::string& input = "",
                   const std::string& input_path = "", const std::string& output_path = "");
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Waits until at least `bytes` have come out on standard output; false when it ended first.
  bool wait_for_output(size_t bytes);
  // The same for a text on standard error.
  bool wait_for_error(const std::string& text);
  // Waits until it handles SIGINT itself.
  void wait_for_handler();
  void send(int signal);
  void close_output();
  void close_error();
  // Most memory it had resident so far, in bytes.
  int64_t peak_memory() const;

  // Reads the rest and waits for the end. A process that hangs is killed after two minutes.
  Result finish();

 private:
  bool read_some(int timeout_ms);
  std::string status_of(const std::string& key) const;  // a line of /proc/PID/status

  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  Result result_;
};

Result run(const std::vector<std::string>& arguments, const std::string& input = "");

// Runs with --json added; fails the test unless it succeeds and prints one JSON document.
nlohmann::json run_json(std::vector<std::string> arguments, const std::string& input = "");

}  // namespace krait
