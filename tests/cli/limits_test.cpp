// What does not fit and what is not finite: told with numbers and names, and by the exit code.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using ::testing::AllOf, ::testing::HasSubstr;

// Writes `value` over `count` floats of a tensor, from element `first` on.
void fill(const ModelCopy& model, const std::string& tensor, int64_t first, int64_t count,
          float value) {
  std::string bytes = read_file(model.file("model.safetensors"));
  uint64_t header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto entry = nlohmann::json::parse(bytes.substr(8, header)).at(tensor);
  ASSERT_EQ(entry["dtype"], "F32");
  char* at = bytes.data() + 8 + header + entry["data_offsets"][0].get<int64_t>() + 4 * first;
  for (int64_t i = 0; i < count; ++i) std::memcpy(at + 4 * i, &value, sizeof value);
  write_file(model.file("model.safetensors"), bytes);
}

TEST(Limits, AWeightThatIsNotFiniteIsBadInput) {
  const ModelCopy model;
  fill(model, "backbone.layers.1.mixer.in_proj.weight", 70, 1, NAN);
  const Result result = run({"generate", "-m", model.path(), "-p", "a"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err,
              HasSubstr("tensor backbone.layers.1.mixer.in_proj.weight holds nan at ["));
}

TEST(Limits, APromptBeyondAGigabyteIsRefusedBeforeItIsRead) {
  const test::TempFolder folder;
  const std::string path = folder.write("prompt", "a");
  std::filesystem::resize_file(path, (size_t{1} << 30) + 1);  // takes no room on the disk
  for (const Result& result : {run({"generate", "-m", test_model(), "-f", path}),
                               Process({"generate", "-m", test_model()}, "", path).finish()}) {
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("more than 1073741824 bytes, the most that is accepted"));
  }
}

// Whatever begins with that letter makes the model overflow.
class Overflow : public testing::Test {
 protected:
  Overflow() {
    id_ = run_json({"tokenize", "-m", model_.path(), "-p", "Z"})["ids"][0];
    const auto config = nlohmann::json::parse(read_file(model_.file("config.json")));
    const auto d_model = config["hidden_size"].get<int64_t>();
    fill(model_, "backbone.embeddings.weight", id_ * d_model, d_model, 1e20f);
  }
  void expect_failed(const std::vector<std::string>& arguments, const std::string& input = "") {
    const Result result = run(arguments, input);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr("the model's output is not usable: "));
    EXPECT_EQ(result.out.find("Z"), std::string::npos);
  }

  ModelCopy model_;
  int64_t id_ = 0;
};

TEST_F(Overflow, IsAFailureOfEveryCommandAndNeverAToken) {
  expect_failed({"generate", "-m", model_.path(), "-p", "Z"});
  expect_failed({"generate", "-m", model_.path(), "-p", "Z", "--json", "--logprobs", "1"});
  expect_failed({"generate", "-m", model_.path(), "-p", "Z", "--num-completions", "3"});
  expect_failed({"score", "-m", model_.path(), "-p", "abZ"});
  expect_failed({"score", "-m", model_.path(), "--stream"}, "Z\n");
}

TEST_F(Overflow, FailsItsLineOfABatchOnly) {
  const test::TempFolder folder;
  const std::string results = folder.path("results.jsonl");
  const Result result = run({"batch", "-m", model_.path(), "-i", "-", "-o", results, "-n", "4",
                             "--logit-bias", std::to_string(id_) + "=-inf", "--greedy"},
                            "a\nZ\nb\n");
  EXPECT_EQ(result.exit_code, 3);
  int failed = 0, finished = 0;
  std::istringstream lines(read_file(results));
  for (std::string line; std::getline(lines, line);) {
    const auto entry = nlohmann::json::parse(line);
    if (entry.contains("error") && !entry["error"].is_null()) {
      EXPECT_THAT(entry["error"]["message"].get<std::string>(),
                  HasSubstr("the embedding of token "));
      ++failed;
    } else {
      ++finished;
    }
  }
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(finished, 2);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which map terabytes
TEST(Limits, AModelThatDoesNotFitIsRefusedBeforeItIsLoaded) {
  const test::TempFolder folder;
  RandomCheckpoint large;  // 11 GB, which take no room on the disk
  large.d_model = 2560;
  large.n_layer = 64;
  large.vocab_rows = 50280;
  large.header_only = true;
  write_random_checkpoint(folder.path("large"), large);
  const std::string command = "ulimit -v 16000000; exec " + std::string(KRAIT_TEST_BINARY) +
                              " generate -p a -m " + folder.path("large") + " >" +
                              folder.path("out") + " 2>" + folder.path("err");
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_EQ(read_file(folder.path("out")), "");
  EXPECT_THAT(read_file(folder.path("err")),
              AllOf(HasSubstr(" needs 10.3 GiB (weights 10.3 GiB, states "), HasSubstr(" leaves "),
                    HasSubstr("; try ")));
}
#endif

}  // namespace
}  // namespace krait
