// Lines of a batch that are too long to be read.
#include "krait/batch.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

std::unique_ptr<Engine> open_plain() {
  OpenOptions open;
  open.model = std::string(KRAIT_TEST_GOLDEN) + "/models/plain";
  open.backend = {"cpu", "auto", 1};
  return Engine::open(open);
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Batch, ALineThatIsTooLongFailsAndTheOthersGoOn) {
  const test::TempFolder folder;
  const auto engine = open_plain();
  BatchOptions options;
  options.max_line_bytes = 20;
  const std::string longest = R"({"prompt":[1,2,3,4]})";  // of 20 bytes
  options.input =
      folder.write("in", "{\"prompt\":[1]}\n" + longest + "\n" + std::string(100'000, 'y') + "\n" +
                             longest + "\n" + std::string(21, 'z'));
  options.results = folder.path("out");
  options.defaults.max_tokens = 2;
  const BatchProgress first = run_batch(*engine, options, {});
  EXPECT_EQ(first.finished, 5);
  EXPECT_EQ(first.failed, 2);
  EXPECT_EQ(first.input_bytes, 100'079);
  std::string refused;
  for (const std::string& line : lines_of(options.results))
    if (line.find("invalid_request") != std::string::npos) refused += line;
  EXPECT_THAT(refused, testing::AllOf(testing::HasSubstr("line 3 has more than 20 bytes"),
                                      testing::HasSubstr("line 5 has more than 20 bytes")));
  const BatchProgress second = run_batch(*engine, options, {});  // nothing is done twice
  EXPECT_EQ(second.resumed, 5);
  EXPECT_EQ(lines_of(options.results).size(), 5u);
}

TEST(Batch, AFolderIsNoInput) {
  const test::TempFolder folder;
  const auto engine = open_plain();
  BatchOptions options;
  options.input = folder.path();
  options.results = folder.path("out");
  EXPECT_THROW(run_batch(*engine, options, {}), InputError);
}

}  // namespace
}  // namespace krait
