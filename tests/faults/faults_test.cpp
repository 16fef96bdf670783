// Every row of the table: each command, each call, each way to fail.
#include <algorithm>
#include <cstdlib>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/faults/table.h"
#include "tests/faults/world.h"

namespace krait {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kSamples = 20;  // of allocations; KRAIT_TEST_FAULTS_SAMPLES says otherwise

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

// Its pieces between … are there, in this order.
bool says(const std::string& found, std::string wanted) {
  constexpr std::string_view kAnything = "…";
  size_t at = 0;
  for (size_t end = 0; end != std::string::npos;) {
    end = wanted.find(kAnything);
    const std::string piece = wanted.substr(0, end);
    at = found.find(piece, at);
    if (at == std::string::npos) return false;
    at += piece.size();
    if (end != std::string::npos) wanted.erase(0, end + kAnything.size());
  }
  return true;
}

// The steps from one call that fails to the next: each, or samples where there are very many.
int64_t stride(World& world, const Fault& fault) {
  if (fault.call != "alloc") return 1;
  const char* asked = std::getenv("KRAIT_TEST_FAULTS_SAMPLES");
  const int64_t samples = asked != nullptr ? std::atoll(asked) : kSamples;
  Fault never = fault;
  never.nth = int64_t{1} << 40;
  return std::max<int64_t>(world.run(never).calls.value_or(0) / samples, 1);
}

class Faults : public testing::TestWithParam<size_t> {
 protected:
  const Row& row() const { return fault_table()[GetParam()]; }

  void expect_outcome(World& world, const Fault& fault, const Outcome& outcome) {
    const int code = outcome.result.exit_code;
    const std::string& err = outcome.result.err;
    std::vector<std::string> codes = split(row().exit, '|');
    std::replace(codes.begin(), codes.end(), std::string("killed"), std::to_string(128 + SIGKILL));
    EXPECT_THAT(codes, Contains(std::to_string(code))) << err;
    if (code == 0) {
      EXPECT_THAT(err, Not(HasSubstr("error")));
    } else if (code < 128) {
      EXPECT_TRUE(says(err, row().says)) << err;
    }
    world.check(outcome, fault);
  }

  // Returns whether the fault was met at all.
  bool try_every(World& world, Fault fault) {
    const bool every = fault.nth == kEvery;
    const int64_t step = every ? stride(world, fault) : 1;
    if (every) fault.nth = 1;
    for (bool met = false;; fault.nth += step, met = true) {
      const Outcome outcome = world.run(fault);
      if (outcome.hits == 0) return met;
      SCOPED_TRACE(fault.call + " " + std::to_string(fault.nth) + " " + fault.action);
      expect_outcome(world, fault, outcome);
      if (!every || HasFailure()) return true;
    }
  }
};

TEST_P(Faults, EndAsTheTableSays) {
  const FaultSet& set = row().set;
  for (const std::string& command : split(row().commands, '|')) {
    SCOPED_TRACE(command + ": " + row().fault);
    World world(command);
    bool met = false;
    for (const std::string& call : split(set.calls, '|'))
      for (const std::string& path :
           *set.path == '\0' ? std::vector<std::string>{""} : split(set.path, '|'))
        for (const std::string& action : split(set.actions, '|'))
          met |= try_every(world, {call, path, set.nth, set.times, action});
    EXPECT_TRUE(met) << "no call met the fault";
  }
}

INSTANTIATE_TEST_SUITE_P(Row, Faults, testing::Range<size_t>(0, fault_table().size()));

// So that the document cannot go stale.
TEST(FaultTable, IsInTheDocument) {
  std::istringstream document(read_file(KRAIT_TEST_SOURCE_DIR "/SECURITY.md"));
  std::vector<std::string> found, expected;
  bool inside = false;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("## ")) inside = line == "## Faults";
    if (inside && line.starts_with("| `")) found.push_back(line);
  }
  std::string all;
  for (const Row& row : fault_table()) {
    expected.push_back(to_markdown(row));
    all += expected.back() + "\n";
  }
  EXPECT_EQ(found, expected) << "the table should be:\n" << all;
}

}  // namespace
}  // namespace krait
