// One command of krait, its files, and what must hold of them whatever happened.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {

// As tests/faults/preload/faults.cpp explains it.
struct Fault {
  std::string call, path;
  int64_t nth = 1;
  int64_t times = 0;  // 0: from the nth on
  std::string action;
};

struct Outcome {
  Result result;
  int64_t hits = 0;              // calls that met the fault
  std::optional<int64_t> calls;  // of that kind; not known of a killed process
  std::map<std::string, std::optional<std::string>> files;  // that it writes, and what they hold
};

// Everything lies in a folder of its own. The files that the command replaces exist before.
class World {
 public:
  explicit World(std::string command);  // as the table names it

  // The command without a fault, once.
  const Outcome& reference() const { return reference_; }

  // The command under a fault, on files as they were at the beginning.
  Outcome run(const Fault& fault);

  // Fails the test where a file is neither as before nor as the reference has it, where temporary
  // files stay behind a process that was not killed, and where a batch cannot be finished.
  void check(const Outcome& outcome, const Fault& fault);

 private:
  void reset();
  Outcome run_once(const Fault* fault);
  Result run_at_terminal();
  std::vector<std::string> temporary_files() const;
  void check_batch(const Outcome& outcome);
  bool loads(const std::string& state) const;
  std::string file(const std::string& name) const { return folder_.path(name); }

  std::string command_;
  test::TempFolder folder_;
  ModelCopy model_;
  std::string weights_before_;
  std::vector<std::string> arguments_;
  std::string input_;
  std::vector<std::string> outputs_;
  std::string before_;  // what the outputs hold at the beginning
  Outcome reference_;
};

}  // namespace krait
