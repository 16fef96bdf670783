#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "src/base/output_file.h"
#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

int files_in(const std::string& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(Quantize, WritesAModelThatRunsAndSaysItsSize) {
  const ModelCopy folder;
  const std::string out = folder.file("x.gguf");
  const Result result = run({"quantize", test_model(), out, "--type", "q8_0"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(HasSubstr(out + ": "), HasSubstr("bits per weight\n")));
  EXPECT_EQ(result.err.find('\r'), std::string::npos) << "progress belongs on a terminal";
  const auto info = run_json({"info", "-m", out});
  EXPECT_EQ(info["container"], "GGUF");
  EXPECT_EQ(info["vocab_size"], 289);  // the tokenizer's: the other rows are padding tokens
  EXPECT_GT(info["bytes_by_dtype"]["q8_0"].get<int64_t>(), 0);
  const auto text = run_json({"generate", "-m", out, "--ids", "5", "-n", "3", "--greedy"});
  EXPECT_EQ(text["usage"]["completion_tokens"], 3);
}

TEST(Quantize, JsonHasTheFigures) {
  const ModelCopy folder;
  const std::string out = folder.file("x.gguf");
  const auto value = run_json({"quantize", test_model(), out, "--type", "f16"});
  EXPECT_EQ(value["model"], test_model());
  EXPECT_EQ(value["out"], out);
  EXPECT_EQ(value["type"], "f16");
  int64_t sum = 0;
  for (const auto& [type, bytes] : value["bytes_by_dtype"].items()) sum += bytes.get<int64_t>();
  EXPECT_EQ(value["bytes_after"], sum);
  EXPECT_EQ(value["bytes_before"], run_json({"info", "-m", test_model()})["bytes_by_dtype"]["f32"]);
  EXPECT_NEAR(value["bits_per_weight"].get<double>(),
              8.0 * static_cast<double>(sum) / value["parameters"].get<double>(), 1e-9);
  EXPECT_GT(value["bits_per_weight"].get<double>(), 16);
}

TEST(Quantize, MistakesAreBadInputAndLeaveNothing) {
  const ModelCopy folder;
  const int files = files_in(folder.path());
  const std::string out = folder.file("x.gguf");
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{test_model(), out}, "--type is required"},
      {{test_model(), "--type", "f16"}, "OUT.gguf is required"},
      {{test_model(), out, "--type", "q5_0"}, "--type q5_0: expected one of f32, f16"},
      {{test_model(), out, "more", "--type", "f16"}, "unexpected argument 'more'; see krait"},
      {{"no/such/model", out, "--type", "f16"}, "model 'no/such/model' not found"},
      {{test_model(), folder.file("no/x.gguf"), "--type", "f16"}, "cannot create"},
      {{test_model(), folder.file("x.bin"), "--type", "f16"}, "a name that ends in .gguf"},
      {{test_model(), "/dev/null", "--type", "f16"}, "a name that ends in .gguf"}};
  for (auto [arguments, words] : cases) {
    arguments.insert(arguments.begin(), "quantize");
    const Result result = run(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(words));
  }
  EXPECT_EQ(files_in(folder.path()), files);
}

TEST(Quantize, AnOlderFileIsReplacedByAWholeOneOnly) {
  const ModelCopy folder;
  const std::string out = folder.file("x.gguf");
  write_file(out, "old");
  const int files = files_in(folder.path());
  // A disk as full as a limit makes it: the limit is inherited, its signal is krait's business.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {50'000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result full = run({"quantize", test_model(), out, "--type", "f32"});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, AllOf(HasSubstr("cannot write " + out), HasSubstr("File too large")));
  EXPECT_EQ(read_file(out), "old");
  EXPECT_EQ(files_in(folder.path()), files);

  EXPECT_EQ(run({"quantize", test_model(), out, "--type", "f32"}).exit_code, 0);
  EXPECT_EQ(read_file(out).substr(0, 4), "GGUF");
  EXPECT_EQ(files_in(folder.path()), files);
  const std::string bytes = read_file(out);
  const Result same = run({"quantize", out, out, "--type", "f16"});
  EXPECT_EQ(same.exit_code, 2);
  EXPECT_THAT(same.err, HasSubstr("it is a file of the model to convert"));
  EXPECT_EQ(read_file(out), bytes);
}

TEST(Quantize, QuietSaysNothingAndHelpNamesTheArguments) {
  const ModelCopy folder;
  const Result quiet =
      run({"quantize", test_model(), folder.file("x.gguf"), "--type", "f32", "-q"});
  EXPECT_EQ(quiet.exit_code, 0);
  EXPECT_EQ(quiet.out + quiet.err, "");
  EXPECT_THAT(run({"quantize", "--help"}).out, HasSubstr("krait quantize MODEL OUT.gguf [flags]"));
}

TEST(Quantize, AFileThatAnotherProcessIsWritingIsRefused) {
  const test::TempFolder folder;
  const OutputFile other(folder.path("out.gguf"));
  const Result result = run({"quantize", test_model(), folder.path("out.gguf"), "--type", "q8_0"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, testing::HasSubstr(folder.path("out.gguf") + " is being written by"));
}

}  // namespace
}  // namespace krait
