// What krait does when the system fails it: the rows of "Faults" in SECURITY.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace krait {

constexpr int64_t kEvery = 0;

// Which calls fail, and how. Words separated by | each have their turn. `nth`: kEvery gives each
// call its turn, until a run has no more of them. `times`: 0, from then on.
struct FaultSet {
  const char* calls;
  const char* path;
  int64_t nth;
  int64_t times;
  const char* actions;
};

struct Row {
  const char* commands;  // separated by |
  const char* fault;     // in words
  FaultSet set;
  const char* exit;  // codes, separated by |; "killed"
  const char* says;  // on standard error unless the code is 0; … stands for anything
};

std::span<const Row> fault_table();

std::string to_markdown(const Row& row);

}  // namespace krait
