// Help, versions, and every mistake one can make with flags.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::vector<std::string> kCommands = {"generate", "chat", "score", "tokenize",    "info",
                                            "models",   "demo", "bench", "completions", "man"};

void expect_help(const Result& result) {
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, AllOf(HasSubstr("Usage: krait"), HasSubstr("Example")));
  EXPECT_TRUE(result.out.ends_with("\n"));
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST(Usage, HelpFitsEightyColumnsAndGoesToStandardOutput) {
  expect_help(run({"--help"}));
  for (const std::string& command : kCommands) {
    expect_help(run({command, "--help"}));
    expect_help(run({command, "-h"}));
  }
}

TEST(Usage, HelpListsTheCommands) {
  const Result result = run({"--help"});
  for (const std::string& command : kCommands)
    EXPECT_THAT(result.out, HasSubstr("\n  " + command + " "));
}

TEST(Usage, NothingAtAllShowsHelpOnStandardErrorAndIsBadUsage) {
  const Result result = run({});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("Usage: krait"));
}

TEST(Usage, VersionIsOneLine) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--version"}, {"generate", "--version"}}) {
    const Result result = run(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.out, "krait " KRAIT_VERSION "\n");
  }
}

struct Mistake {
  std::vector<std::string> arguments;
  std::string message;  // how standard error begins, after "error: "
};

void PrintTo(const Mistake& mistake, std::ostream* out) {
  for (const std::string& argument : mistake.arguments) *out << argument << ' ';
}

class UsageMistake : public ::testing::TestWithParam<Mistake> {};

TEST_P(UsageMistake, IsAnsweredWithFlagReasonAndRemedy) {
  std::vector<std::string> arguments = GetParam().arguments;
  const bool needs_model = arguments.size() > 1 && arguments[0] != "info";
  if (needs_model) arguments.insert(arguments.end(), {"-m", test_model()});
  const Result result = run(arguments);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("error: " + GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, UsageMistake,
    ::testing::Values(
        Mistake{{"genrate"}, "unknown command 'genrate': did you mean generate?; see krait --help"},
        Mistake{{"xyzzy"}, "unknown command 'xyzzy'; see krait --help"},
        Mistake{{"--hlep"}, "unknown flag '--hlep': did you mean --help?"},
        Mistake{{"generate", "--tmep", "1"},
                "unknown flag '--tmep': did you mean --temp?; see krait generate --help"},
        Mistake{{"generate", "--max-token=5"},
                "unknown flag '--max-token': did you mean --max-tok"},
        Mistake{{"score", "--temp", "1"}, "unknown flag '--temp'"},
        Mistake{{"generate", "-x", "-p", "a"}, "unknown flag '-x'"},
        Mistake{{"generate", "hello"}, "unexpected argument 'hello': text goes after -p"},
        Mistake{{"generate", "-p", "a", "score"}, "unexpected argument 'score'"},
        Mistake{{"generate", "--json=x", "-p", "a"}, "--json = x: this flag takes no value"},
        Mistake{{"generate", "-t", "-3"}, "--threads -3: expected a whole number from 1 to 512"},
        Mistake{{"generate", "-t", "two"}, "--threads two: expected a whole number"},
        Mistake{{"generate", "-t", ""}, "--threads '': expected a whole number"},
        Mistake{{"generate", "-n", "-2"}, "--max-tokens -2: expected a whole number from -1"},
        Mistake{{"generate", "-n", "1.5"}, "--max-tokens 1.5: expected a whole number"},
        Mistake{{"generate", "-n", "99999999999999999999"}, "--max-tokens 99999999999999999999: e"},
        Mistake{{"generate", "--chunk", "0"}, "--chunk 0: expected a whole number from 1"},
        Mistake{{"generate", "--chunk", "8193"}, "--chunk 8193: expected 1 to 8192"},
        Mistake{{"generate", "-s", "-1"}, "--seed -1: expected a whole number from 0"},
        Mistake{{"generate", "--temp", "warm"}, "--temp warm: expected a number"},
        Mistake{{"generate", "--temperature", "-1"}, "--temp -1: expected 0 (greedy) or"},
        Mistake{{"generate", "--temp", "nan"}, "--temp nan: expected"},
        Mistake{{"generate", "--top-p", "1.5"}, "--top-p 1.5: expected a number in (0, 1]"},
        Mistake{{"generate", "--top-k", "-1"}, "--top-k -1: expected 0 (off) or a positive"},
        Mistake{{"generate", "--top-k", "2.5"}, "--top-k 2.5: expected a whole number"},
        Mistake{{"generate", "--min-p", "2"}, "--min-p 2: expected a number in [0, 1]"},
        Mistake{{"generate", "--typical", "0"}, "--typical 0: expected a number in (0, 1]"},
        Mistake{{"generate", "--repeat-penalty", "0"}, "--repeat-penalty 0: expected"},
        Mistake{{"generate", "--repeat-last-n", "-2"}, "--repeat-last-n -2: expected -1"},
        Mistake{{"generate", "--logit-bias", "5"}, "--logit-bias 5: expected ID=VALUE"},
        Mistake{{"generate", "--logit-bias", "5=x"}, "--logit-bias 5=x: expected ID=VALUE"},
        Mistake{{"generate", "--logit-bias", "-1=1"}, "--logit-bias -1=1: expected an id >= 0"},
        Mistake{{"generate", "--logit-bias", "5=nan"}, "--logit-bias 5=nan: expected an id"},
        Mistake{{"generate", "--logit-bias", "9999=1"}, "--logit-bias: there is no id 9999"},
        Mistake{{"generate", "--stop="}, "--stop '': expected a text that is not empty"},
        Mistake{{"generate", "-p", "a", "--ids", "1"}, "more than one of --prompt, --file and"},
        Mistake{{"generate", "-p", "a", "-f", "b"}, "more than one of --prompt, --file and"},
        Mistake{{"generate", "--ids", "1,x"}, "--ids x: expected whole numbers"},
        Mistake{{"generate", "--ids", ""}, "--ids '': expected whole numbers"},
        Mistake{{"generate", "--ids", "1,,2"}, "--ids '': expected whole numbers"},
        Mistake{{"generate", "--ids", "-1"}, "--ids -1: expected whole numbers"},
        Mistake{{"generate", "--ids", "330"}, "token id 330"},
        Mistake{{"score", "--ids", "2147483647"}, "token id 2147483647"},
        Mistake{{"generate", "-f", "/no/such/file"}, "--file /no/such/file: No such file"},
        Mistake{{"generate", "-f", "/"}, "cannot read --file /: Is a directory"},
        Mistake{{"generate", "--device", "gpu"},
                "--device gpu: expected auto, cpu, cuda or cuda:N"},
        Mistake{{"generate", "--device", "cuda:x"}, "--device cuda:x: expected"},
        Mistake{{"generate", "--device", "cuda:99"}, "--device cuda:99: "},
        Mistake{{"generate", "--cpu-isa", "sse2"}, "--cpu-isa sse2: expected one of auto, scalar"},
        Mistake{{"generate", "--act", "f16"}, "--act f16: expected one of f32, bf16"},
        Mistake{{"score", "--act", ""}, "--act '': expected one of f32, bf16"},
        Mistake{{"batch", "--act", "BF16"}, "--act BF16: expected one of f32, bf16"},
        Mistake{{"bench", "--act", "q8_0"}, "--act q8_0: expected one of f32, bf16"},
        Mistake{{"tokenize", "--act", "f32"}, "unknown flag '--act'"},
        Mistake{{"generate", "--dtype", "q9"}, "--dtype q9: expected one of auto, f32"},
        Mistake{{"generate", "--color", "blue"}, "--color blue: expected one of auto, on, off"},
        Mistake{{"generate", "--log-level", "loud"}, "--log-level loud: expected one of"},
        Mistake{{"score", "-p", "ab", "--logits", "/no/such/folder/x.npy"}, ""},
        Mistake{{"tokenize", "--decode", "1", "-p", "a"}, "--decode goes without"},
        Mistake{{"tokenize", "--decode", "a"}, "--decode a: expected whole numbers"},
        Mistake{{"bench", "-p", "0", "-n", "0"}, "--n-prompt 0 with --n-gen 0"},
        Mistake{{"bench", "-p", "12,"}, "--n-prompt '': expected whole numbers"},
        Mistake{{"bench", "-r", "0"}, "--repetitions 0: expected a whole number from 1"},
        Mistake{{"info", "-m", "/no/such/model"}, "model '/no/such/model' not found"},
        Mistake{{"info", "-m"}, "--model: a value is missing; see krait info --help"}));

TEST(Usage, TheLastOfARepeatedFlagCounts) {
  const auto value = run_json({"generate", "-m", test_model(), "-p", "a", "-n", "5", "-n", "2",
                               "--greedy", "--ignore-eos"});
  EXPECT_EQ(value["usage"]["completion_tokens"], 2);
}

TEST(Usage, AnEmptyValueAfterAnEqualsSignIsNotTheNextArgument) {
  const auto value = run_json({"generate", "-m", test_model(), "--prompt=", "--greedy", "-n", "1"});
  EXPECT_EQ(value["usage"]["prompt_tokens"], 1);
}

TEST(Usage, ValuesThatLookLikeFlagsAreValues) {
  const auto value = run_json({"tokenize", "-m", test_model(), "-p", "--greedy="});
  const auto again = run_json({"tokenize", "-m", test_model()}, "--greedy=");
  EXPECT_EQ(value["ids"], again["ids"]);
}

TEST(Usage, ColoursOnlyWhenAskedFor) {
  EXPECT_THAT(run({"info", "--color", "off", "-m", "/no"}).err, StartsWith("error:"));
  EXPECT_THAT(run({"info", "-m", "/no"}).err, StartsWith("error:"));  // not a terminal
  EXPECT_THAT(run({"info", "--color", "on", "-m", "/no"}).err, StartsWith("\033["));
}

}  // namespace
}  // namespace krait
