// The runs of the program long_runs, and what they share: measuring a process over many parts of
// equal work.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "krait/engine.h"

namespace krait::long_runs {

struct Options {
  double scale = 1;  // of the work
  std::string model = "induction";
  std::string text_model = "tales";  // of the batch, which needs a tokenizer
  int64_t tokens = 10'000'000;
  int64_t lines = 100'000;
  int64_t sessions = 10'000;
  int64_t steps = 10'000'000;
  int32_t threads = 1;

  int64_t part(int64_t whole) const;  // a tenth of the scaled work, at least 1
};

constexpr int kParts = 10;

std::unique_ptr<Engine> open(const std::string& model, const Options& options);

// Measures parts of equal work and prints a row for each, as a Markdown table.
class Parts {
 public:
  Parts(const std::string& title, const std::string& unit);

  // A part with so many units of work is over.
  void done(int64_t units);

  // Whether memory and speed were flat, also printed. Memory: from the end of the first part to the
  // end of the last at most kMostGrowthBytes. Speed, in processor time, so that other programs
  // count less: the last third took at most kMostSlowdown times what the first third did.
  bool flat() const;

 private:
  struct Part {
    double processor_s;
    int64_t rss_bytes, units;
  };
  double processor_s(size_t first, size_t last) const;  // a unit of the parts [first, last)

  std::vector<Part> parts_;
  int64_t units_ = 0;
  std::clock_t clock_;
  std::chrono::steady_clock::time_point begin_;
};

// Prints the sentence and gives `ok` back.
bool check(bool ok, const std::string& what);

// Each prints what it saw; false where something that must hold did not.
bool text(const Options& options);      // one session that goes on and on
bool lines(const Options& options);     // a batch, stopped in the middle and resumed
bool sessions(const Options& options);  // sessions, forks, snapshots, files of states, engines
bool drift(const Options& options);     // float32 recurrences against double precision

}  // namespace krait::long_runs
