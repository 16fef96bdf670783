#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Arguments = std::vector<std::string>;

// Wild enough that a random model does not repeat one token.
Arguments generate(const Arguments& more) {
  Arguments all = {"generate", "-m",      test_model(), "--temp",  "2", "--top-k",
                   "0",        "--top-p", "1",          "--min-p", "0", "--ignore-eos"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(Generate, StreamsTheTextToStandardOutputAndStatisticsToStandardError) {
  const Result result = run(generate({"-p", "Once upon", "-n", "20", "-s", "7"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_FALSE(result.out.empty());
  EXPECT_TRUE(result.out.ends_with("\n"));
  EXPECT_THAT(result.err, HasSubstr("prefill"));
  EXPECT_THAT(result.err, HasSubstr("decode "));
  EXPECT_THAT(result.err, HasSubstr("tok/s"));
}

TEST(Generate, QuietLeavesStandardErrorEmpty) {
  EXPECT_EQ(run(generate({"-p", "a", "-n", "3", "-q"})).err, "");
}

TEST(Generate, VerboseSaysModelMachineAndSeed) {
  const Result result = run(generate({"-p", "a", "-n", "3", "-v", "-s", "99"}));
  EXPECT_THAT(result.err, HasSubstr("info: model " + test_model()));
  EXPECT_THAT(result.err, HasSubstr("thread"));
  EXPECT_THAT(result.err, HasSubstr("info: seed 99"));
}

TEST(Generate, JsonHasTheDocumentedFields) {
  const auto value = run_json(generate({"-p", "Once upon", "-n", "12", "-s", "7"}));
  EXPECT_TRUE(value["text"].is_string());
  EXPECT_EQ(value["ids"].size(), 12u);
  EXPECT_EQ(value["finish_reason"], "length");
  EXPECT_GT(value["usage"]["prompt_tokens"], 0);
  EXPECT_EQ(value["usage"]["completion_tokens"], 12);
  for (const char* key : {"load_ms", "prefill_ms", "decode_ms", "prefill_tok_s", "decode_tok_s"})
    EXPECT_GT(value["timings"][key].get<double>(), 0) << key;
  EXPECT_EQ(value["model"], test_model());
  EXPECT_EQ(value["seed"], 7);
}

TEST(Generate, JsonLeavesStandardErrorEmpty) {
  EXPECT_EQ(run(generate({"-p", "a", "-n", "3", "--json"})).err, "");
}

TEST(Generate, StreamedTextEqualsJsonText) {
  for (const char* seed : {"1", "2", "3", "4"}) {
    const Arguments arguments = generate({"-p", "The old king", "-n", "200", "-s", seed});
    const std::string text = run_json(arguments)["text"];
    const Result streamed = run(arguments);
    EXPECT_EQ(streamed.out, text.ends_with('\n') ? text : text + "\n");
  }
}

TEST(Generate, SameSeedSameTextOtherSeedOtherText) {
  const auto ids = [](const char* seed) {
    return run_json(generate({"-p", "The", "-n", "50", "-s", seed}))["ids"];
  };
  EXPECT_EQ(ids("5"), ids("5"));
  EXPECT_NE(ids("5"), ids("6"));
}

TEST(Generate, WithoutSeedEachRunDrawsOneAndShowsIt) {
  const auto first = run_json(generate({"-p", "The", "-n", "50"}));
  const auto second = run_json(generate({"-p", "The", "-n", "50"}));
  EXPECT_NE(first["seed"], second["seed"]);
  const std::string seed = first["seed"].dump();
  EXPECT_EQ(run_json(generate({"-p", "The", "-n", "50", "-s", seed}))["ids"], first["ids"]);
}

TEST(Generate, ThreadsAndChunksDoNotChangeTheText) {
  const std::string prompt(300, 'x');
  const auto ids = [&](const Arguments& more) {
    Arguments arguments = generate({"-p", prompt, "-n", "60", "-s", "5"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_json(arguments)["ids"];
  };
  const auto one = ids({"-t", "1"});
  EXPECT_EQ(ids({"-t", "2"}), one);
  EXPECT_EQ(ids({"-t", "2", "--chunk", "1"}), one);
  EXPECT_EQ(ids({"-t", "2", "--chunk", "7"}), one);
}

TEST(Generate, GreedyIsTemperatureZeroAndWinsOverTemp) {
  const auto ids = [](const Arguments& more) { return run_json(generate(more))["ids"]; };
  const auto greedy = ids({"-p", "The", "-n", "20", "--greedy"});
  EXPECT_EQ(ids({"-p", "The", "-n", "20", "--temperature", "0", "-s", "3"}), greedy);
  EXPECT_EQ(ids({"-p", "The", "-n", "20", "--top-k", "1", "-s", "4"}), greedy);
}

TEST(Generate, PromptComesFromFlagFilePipeOrIds) {
  ModelCopy folder;
  const std::string file = folder.file("prompt.txt");
  write_file(file, "The king\n");
  const auto text = [](const Arguments& more, const std::string& input = "") {
    Arguments arguments = generate({"-n", "10", "-s", "1"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_json(arguments, input)["text"];
  };
  const auto expected = text({"-p", "The king"});
  EXPECT_EQ(text({"-f", file}), expected);
  EXPECT_EQ(text({"-f", "-"}, "The king\n"), expected);
  EXPECT_EQ(text({}, "The king\n"), expected);
  EXPECT_EQ(text({}, "The king"), expected);
  std::string ids;
  const auto tokens = run_json({"tokenize", "-m", test_model(), "-p", "The king"});
  for (const auto& id : tokens["ids"]) ids += (ids.empty() ? "" : ",") + id.dump();
  EXPECT_EQ(text({"--ids", ids}), expected);
  // Only one newline is taken away.
  EXPECT_EQ(text({}, "The king\n\n"), text({"-p", "The king\n"}));
}

TEST(Generate, WithoutPromptOnATerminalSaysHowToGiveOne) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const Result result = Process({"generate", "-m", test_model()}, "", ::ptsname(terminal)).finish();
  ::close(terminal);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, StartsWith("error: there is no prompt: give one with -p TEXT"));
}

TEST(Generate, EmptyAndInvalidPromptsAreFine) {
  EXPECT_EQ(run_json(generate({"-p", "", "-n", "4"}))["usage"]["prompt_tokens"], 1);
  EXPECT_EQ(run_json(generate({"-n", "4"}), "\n")["usage"]["prompt_tokens"], 1);
  const auto value = run_json(generate({"-n", "4", "--echo"}), "bad \xff\xc3(\x80 bytes");
  EXPECT_THAT(value["text"].get<std::string>(), StartsWith("bad \xef\xbf\xbd"));
}

TEST(Generate, EchoPutsThePromptFirst) {
  const Arguments arguments = generate({"-p", "Once upon", "-n", "5", "-s", "1"});
  Arguments echo = arguments;
  echo.push_back("--echo");
  EXPECT_EQ(run(echo).out, "Once upon" + run(arguments).out);
  EXPECT_THAT(run(generate({"--ids", "73,102", "-n", "1", "--echo"})).out, StartsWith("He"));
}

TEST(Generate, NoTokensAskedForIsNoText) {
  const Result result = run(generate({"-p", "a", "-n", "0"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "");
}

TEST(Generate, StopTextEndsTheOutputAndIsNotPartOfIt) {
  const Arguments arguments = generate({"-p", "The", "-n", "100", "-s", "3"});
  const std::string text = run_json(arguments)["text"];
  ASSERT_GT(text.size(), 20u);
  size_t at = 10;  // at the beginning of a character
  while ((text[at] & 0xc0) == 0x80) ++at;
  size_t end = at + 3;
  while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
  const std::string stop = text.substr(at, end - at);
  Arguments stopping = arguments;
  stopping.insert(stopping.end(), {"--stop", "never seen", "--stop", stop});
  const auto value = run_json(stopping);
  EXPECT_EQ(value["finish_reason"], "stop");
  EXPECT_EQ(value["text"], text.substr(0, text.find(stop)));
}

TEST(Generate, EndOfTextEndsUnlessIgnored) {
  const Arguments bias = {"generate", "-m", test_model(),   "-p",    "a",
                          "-n",       "5",  "--logit-bias", "0=1000"};
  const auto ended = run_json(bias);
  EXPECT_EQ(ended["finish_reason"], "eos");
  EXPECT_EQ(ended["usage"]["completion_tokens"], 0);
  Arguments ignoring = bias;
  ignoring.push_back("--ignore-eos");
  EXPECT_EQ(run_json(ignoring)["ids"], (std::vector<int>{0, 0, 0, 0, 0}));
}

TEST(Generate, BannedIdsNeverAppear) {
  Arguments arguments = generate({"-p", "The", "-n", "200", "-s", "1"});
  const auto before = run_json(arguments)["ids"];
  const std::string banned = before[0].dump();
  arguments.insert(arguments.end(), {"--logit-bias", banned + "=-inf"});
  const auto value = run_json(arguments);
  for (const auto& id : value["ids"]) EXPECT_NE(id.dump(), banned);
}

TEST(Generate, PaddingRowsAreNeverSampled) {
  const int limit = run_json({"info", "-m", test_model()})["tokenizer"]["vocab_size"];
  const auto value = run_json(generate({"-p", "a", "-n", "2000", "-s", "1", "--temp", "50"}));
  for (const auto& id : value["ids"]) EXPECT_LT(id, limit);
}

TEST(Generate, CtrlCKeepsWhatWasWrittenAndExitsWith130) {
  Process process(generate({"-p", "The", "-n", "-1"}));
  ASSERT_TRUE(process.wait_for_output(200));
  process.send(SIGINT);
  const Result result = process.finish();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_GE(result.out.size(), 200u);
  EXPECT_TRUE(result.out.ends_with("\n"));
  EXPECT_THAT(result.err, HasSubstr("(interrupted)"));
}

TEST(Generate, CtrlCInJsonModeStillPrintsTheObject) {
  Process process(generate({"-p", "The", "-n", "-1", "--json", "-v"}));
  ASSERT_TRUE(process.wait_for_error("loaded in"));
  process.send(SIGTERM);
  const Result result = process.finish();
  EXPECT_EQ(result.exit_code, 130);
  const auto value = nlohmann::json::parse(result.out, nullptr, false);
  ASSERT_TRUE(value.is_object()) << result.out;
  EXPECT_EQ(value["finish_reason"], "interrupted");
}

TEST(Generate, CtrlCWhileReadingThePromptExitsWith130) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  Process process({"generate", "-m", test_model(), "-f", "-"}, "", ::ptsname(terminal));
  process.wait_for_handler();
  ::usleep(100'000);  // most often it is inside read() by now; both must work
  process.send(SIGINT);
  const Result result = process.finish();
  ::close(terminal);
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.out, "");
}

TEST(Generate, AClosedPipeEndsQuietly) {
  Process process(generate({"-p", "The", "-n", "-1"}));
  ASSERT_TRUE(process.wait_for_output(20));
  process.close_output();
  const Result result = process.finish();
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
}

TEST(Generate, AClosedPipeLeavesTheStateThatWasAskedFor) {
  const ModelCopy folder;
  Process process(generate({"-p", "The", "-n", "-1", "--save-state", folder.file("state")}));
  ASSERT_TRUE(process.wait_for_output(20));
  process.close_output();
  EXPECT_EQ(process.finish().exit_code, 0);
  EXPECT_EQ(run(generate({"--load-state", folder.file("state"), "-n", "1"})).exit_code, 0);
}

TEST(Generate, AClosedStandardErrorChangesNothing) {
  Process process(generate({"-p", "The", "-n", "400"}));
  process.close_error();
  ASSERT_TRUE(process.wait_for_output(400));
  EXPECT_EQ(process.finish().exit_code, 0);
}

TEST(Generate, AFullDiskIsAFailure) {
  const Result result = Process(generate({"-p", "The", "-n", "5"}), "", "", "/dev/full").finish();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("error: cannot write to standard output: No space left"));
}

}  // namespace
}  // namespace krait
