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
  int64_t max_rss_bytes = 0;
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
  // Waits until it handles SIGINT itself.
  void wait_for_handler();
  void send(int signal);
  void close_output();

  // Reads the rest and waits for the end. A process that hangs is killed after two minutes.
  Result finish();

 private:
  bool read_some(int timeout_ms);

  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  Result result_;
};

Result run(const std::vector<std::string>& arguments, const std::string& input = "");

// Runs with --json added; fails the test unless it succeeds and prints one JSON document.
nlohmann::json run_json(std::vector<std::string> arguments, const std::string& input = "");

}  // namespace krait
