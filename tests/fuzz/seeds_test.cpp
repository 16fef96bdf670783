// Every seed and every input that once was a finding, through the functions that the fuzzers call:
// so that regressions show without a fuzzer.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(KRAIT_TEST_SOURCE_DIR) / "tests" / "fuzz";

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::exists(folder))
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class FuzzTarget : public testing::TestWithParam<std::string> {
 protected:
  static const Target& target() {
    return *std::find_if(targets().begin(), targets().end(),
                         [](const Target& target) { return target.name == GetParam(); });
  }
};

// A seed that is refused leads a fuzzer nowhere.
TEST_P(FuzzTarget, TakesItsSeeds) {
  const auto seeds = files_in(kFolder / "seeds" / GetParam());
  EXPECT_FALSE(seeds.empty());
  for (const fs::path& seed : seeds)
    EXPECT_EQ(run(target(), bytes_of(seed)), "") << seed.filename();
}

TEST_P(FuzzTarget, SurvivesWhatOnceWasAFinding) {
  for (const fs::path& input : files_in(kFolder / "regressions" / GetParam())) {
    SCOPED_TRACE(input.filename());
    run(target(), bytes_of(input));
  }
}

// Every prefix, and every seed with a byte flipped here and there.
TEST_P(FuzzTarget, SurvivesDamagedSeeds) {
  Random random(1);
  for (const fs::path& seed : files_in(kFolder / "seeds" / GetParam())) {
    SCOPED_TRACE(seed.filename());
    const std::string bytes = bytes_of(seed);
    const size_t step = std::max<size_t>(bytes.size() / 64, 1);
    for (size_t size = 0; size < bytes.size(); size += step) run(target(), bytes.substr(0, size));
    for (int i = 0; i < 64; ++i) {
      std::string damaged = bytes;
      damaged[random() % damaged.size()] = static_cast<char>(random());
      run(target(), damaged);
    }
  }
}

// Where a mutator exists most of what it makes must get past the checks that it is there for.
TEST_P(FuzzTarget, MutatorKeepsInputsInShape) {
  if (!target().mutate) return;
  Random random(1);
  const auto bytes = [&](std::string text) {
    if (!text.empty()) text[random() % text.size()] = static_cast<char>(random());
    return text;
  };
  int taken = 0, different = 0, all = 0;
  for (const fs::path& seed : files_in(kFolder / "seeds" / GetParam())) {
    const std::string input = bytes_of(seed);
    for (int i = 0; i < 200; ++i, ++all) {
      const std::string mutated = target().mutate(input, random, bytes);
      different += mutated != input;
      taken += run(target(), mutated).empty();
    }
  }
  EXPECT_GT(different, all * 3 / 4);
  EXPECT_GT(taken, all / 20);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Target& target : targets()) all.push_back(target.name);
  std::sort(all.begin(), all.end());
  return all;
}

TEST(FuzzTargets, HaveOneFolderOfSeedsEach) {
  std::vector<std::string> folders;
  for (const fs::path& folder : files_in(kFolder / "seeds")) folders.push_back(folder.filename());
  EXPECT_EQ(folders, names());
  for (const fs::path& folder : files_in(kFolder / "regressions"))
    EXPECT_THAT(names(), testing::Contains(folder.filename().string()));
}

INSTANTIATE_TEST_SUITE_P(All, FuzzTarget, testing::ValuesIn(names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace krait::fuzz
