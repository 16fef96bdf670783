// Scoring a text without end.
#include <cmath>
#include <sstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;
using nlohmann::json;

Arguments stream(const Arguments& more = {}) {
  Arguments all = {"score", "-m", test_model(), "--stream"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<json> lines_of(const std::string& out) {
  std::vector<json> lines;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

// A pipe with a name that stays open.
class OpenPipe {
 public:
  explicit OpenPipe(std::string path) : path_(std::move(path)) {
    EXPECT_EQ(::mkfifo(path_.c_str(), 0600), 0);
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_GE(descriptor_, 0);
  }
  ~OpenPipe() { ::close(descriptor_); }
  OpenPipe(const OpenPipe&) = delete;
  OpenPipe& operator=(const OpenPipe&) = delete;

  const std::string& path() const { return path_; }
  void say(const std::string& text) const {
    EXPECT_EQ(::write(descriptor_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

 private:
  std::string path_;
  int descriptor_ = -1;
};

TEST(ScoreStream, GivesTheSurpriseOfEachLineAfterAllBefore) {
  const std::string text = "Once upon a time\nthere was\n\na k\xc3\xb6nig";
  const Result result = run(stream({"--json"}), text);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  const std::vector<json> lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 4u);
  // The same ids in one go, after the token that starts a text.
  std::string ids = "0", joined;
  for (const json& line : lines) {
    joined += line["text"];
    for (const json& token : line["tokens"]) ids += "," + token["id"].dump();
  }
  EXPECT_EQ(joined, text);
  const json whole = run_json({"score", "-m", test_model(), "--ids", ids});
  size_t at = 1;
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["line"], i + 1);
    double sum = 0;
    for (const json& token : lines[i]["tokens"]) {
      const double bits = token["bits"];
      EXPECT_NEAR(bits, -whole["tokens"][at++]["logprob"].get<double>() / std::log(2.0), 1e-9);
      sum += bits;
    }
    EXPECT_NEAR(lines[i]["bits"].get<double>(), sum, 1e-9);
    EXPECT_NEAR(lines[i]["bits_per_byte"].get<double>(),
                sum / static_cast<double>(lines[i]["text"].get<std::string>().size()), 1e-9);
  }
}

TEST(ScoreStream, TableHasOneRowPerLineAndASummary) {
  const Result result = run(stream(), "Once\nupon\n");
  EXPECT_THAT(result.out, HasSubstr("line       bits bits/byte  text\n"));
  EXPECT_THAT(result.out, HasSubstr("  \"Once\"\n"));
  EXPECT_THAT(result.out, HasSubstr("  \"upon\"\n"));
  EXPECT_THAT(result.err, HasSubstr("10 bytes, "));
  EXPECT_EQ(run(stream(), "").exit_code, 0);
}

TEST(ScoreStream, ALineIsAnsweredBeforeTheNextOneComes) {
  const test::TempFolder folder;
  const OpenPipe pipe(folder.path("pipe"));
  Process process(stream({"--json"}), "", pipe.path());
  pipe.say("first\n");
  EXPECT_TRUE(process.wait_for_output(10));
  pipe.say("second\nunfinished");
  process.wait_for_handler();
  ::usleep(200'000);
  process.send(SIGINT);
  const Result result = process.finish();
  EXPECT_EQ(result.exit_code, 130);
  const std::vector<json> lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 2u);  // a line without its end is not known yet
  EXPECT_EQ(lines[1]["text"], "second\n");
}

TEST(ScoreStream, LongLinesComeInPiecesBetweenCharacters) {
  const test::TempFolder folder;
  std::string text = "x";
  while (text.size() < 100'001) text += "\xc3\xb6";
  text += "\nend\n";
  const Result result = Process(stream({"--json"}), "", folder.write("long", text)).finish();
  const std::vector<json> lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["text"].get<std::string>().size(), 65535u);  // 65536 would split one
  EXPECT_EQ(lines[1]["line"], 1);
  EXPECT_EQ(lines[2]["line"], 2);
  EXPECT_EQ(lines[0]["text"].get<std::string>() + lines[1]["text"].get<std::string>() + "end\n",
            text);
}

TEST(ScoreStream, MemoryDoesNotGrowWithTheInput) {
  const test::TempFolder folder;
  RandomCheckpoint tiny;
  tiny.d_model = 16;
  tiny.n_layer = 1;
  tiny.d_state = 4;
  write_random_checkpoint(folder.path("model"), tiny);
  const OpenPipe pipe(folder.path("pipe"));
  // A sanitizer would keep what is freed, to catch late uses of it.
  ::setenv("ASAN_OPTIONS", "quarantine_size_mb=0:thread_local_quarantine_size_kb=0", 1);
  Process process({"score", "-m", folder.path("model"), "--stream", "-t", "1", "-q"}, "",
                  pipe.path(), "/dev/null");
  const auto peak_after = [&](size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += "2024-01-01 connection refused by peer\n";
    pipe.say(text);  // returns when all of it but what fits into the pipe has been taken
    return process.peak_memory();
  };
  const int64_t before = peak_after(300'000);
  EXPECT_LT(peak_after(1'000'000), before + 500'000);
  process.send(SIGINT);
  EXPECT_EQ(process.finish().exit_code, 130);
  ::unsetenv("ASAN_OPTIONS");
}

TEST(ScoreStream, OtherInputsAreRefused) {
  for (const Arguments& more : {Arguments{"-p", "a"}, {"--ids", "1"}, {"-f", "x"}}) {
    const Result result = run(stream(more));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("--stream reads standard input"));
  }
}

}  // namespace
}  // namespace krait
