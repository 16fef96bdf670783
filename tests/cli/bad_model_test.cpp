// Models that cannot be used: a clear message and exit 2, never a crash.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"

namespace krait {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

void expect_refused(const ModelCopy& copy, const std::vector<std::string>& words) {
  const Result result = run({"generate", "-m", copy.path(), "-p", "a", "-n", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("error: "));
  for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
}

TEST(BadModel, TruncatedWeights) {
  const ModelCopy copy;
  const std::string weights = copy.file("model.safetensors");
  std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 100);
  expect_refused(copy, {"model.safetensors"});
  std::filesystem::resize_file(weights, 5);
  expect_refused(copy, {"model.safetensors"});
  std::filesystem::resize_file(weights, 0);
  expect_refused(copy, {"model.safetensors"});
}

TEST(BadModel, MissingTensor) {
  const ModelCopy copy;
  copy.replace("model.safetensors", "layers.1.mixer.x_proj.weight", "layers.1.mixer.q_proj.weight");
  expect_refused(copy, {"layers.1.mixer.x_proj.weight"});
}

TEST(BadModel, WrongShape) {
  const ModelCopy copy;
  copy.replace("model.safetensors", "\"shape\":[36,128]", "\"shape\":[128,36]");
  expect_refused(copy, {"x_proj.weight"});
}

TEST(BadModel, ConfigThatTheTensorsContradict) {
  const ModelCopy copy;
  copy.replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  expect_refused(copy, {"layers"});
}

TEST(BadModel, ConfigNumberThatTheShapesCorrectIsAWarning) {
  const ModelCopy copy;
  copy.replace("config.json", "\"state_size\": 16", "\"state_size\": 8");
  const Result result = run({"info", "-m", copy.path(), "--json"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, StartsWith("warning: "));
  EXPECT_THAT(result.err, HasSubstr("state_size"));
  EXPECT_EQ(nlohmann::json::parse(result.out)["layers"][0]["d_state"], 16);
  EXPECT_EQ(run({"info", "-m", copy.path(), "-q"}).err, "");
}

TEST(BadModel, ConfigThatIsNotJson) {
  const ModelCopy copy;
  write_file(copy.file("config.json"), "{\"model_type\": ");
  expect_refused(copy, {"config.json"});
}

TEST(BadModel, NoConfig) {
  const ModelCopy copy;
  std::filesystem::remove(copy.file("config.json"));
  expect_refused(copy, {"config.json"});
}

TEST(BadModel, NoWeights) {
  const ModelCopy copy;
  std::filesystem::remove(copy.file("model.safetensors"));
  expect_refused(copy, {copy.path()});
}

TEST(BadModel, UnreadableTokenizer) {
  const ModelCopy copy;
  write_file(copy.file("tokenizer.json"), "not a tokenizer");
  expect_refused(copy, {"tokenizer.json"});
  write_file(copy.file("tokenizer.json"), "{\"model\": {\"type\": \"Unheard\"}}");
  expect_refused(copy, {"tokenizer.json"});
}

TEST(BadModel, TokenizerLargerThanTheEmbedding) {
  const ModelCopy copy;
  copy.replace("tokenizer.json", "\"added_tokens\": [",
               R"("added_tokens": [{"id": 5000, "content": "<far>", "single_word": false,
               "lstrip": false, "rstrip": false, "normalized": false, "special": true},)");
  expect_refused(copy, {"5000", "embedding"});
}

TEST(BadModel, NotThere) {
  const Result result = run({"generate", "-m", "no-such-model", "-p", "a"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("no-such-model"));
}

TEST(BadModel, AFileThatIsNoModel) {
  const ModelCopy copy;
  const Result result = run({"info", "-m", copy.file("tokenizer.json")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, StartsWith("error: "));
}

}  // namespace
}  // namespace krait
