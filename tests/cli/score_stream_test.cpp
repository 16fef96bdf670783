// Scoring a text without end.
#include <sstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
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
  const std::string path = folder.path("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int pipe = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(pipe, 0);
  Process process(stream({"--json"}), "", path);
  const auto say = [&](const std::string& text) {
    ASSERT_EQ(::write(pipe, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  say("first\n");
  EXPECT_TRUE(process.wait_for_output(10));
  say("second\nunfinished");
  process.wait_for_handler();
  ::usleep(200'000);
  process.send(SIGINT);
  const Result result = process.finish();
  ::close(pipe);
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
  const auto memory = [&](size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += "2024-01-01 connection refused by peer\n";
    return Process({"score", "-m", folder.path("model"), "--stream", "-t", "1"}, "",
                   folder.write("log", text), "/dev/null")
        .finish()
        .max_rss_bytes;
  };
  EXPECT_LT(memory(1'500'000), memory(150'000) + 1'500'000);
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
