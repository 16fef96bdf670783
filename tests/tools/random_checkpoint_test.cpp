#include "tools/common/random_checkpoint.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "krait/error.h"
#include "krait/tokenizer.h"
#include "src/base/json.h"
#include "src/formats/open.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/safetensors_writer.h"

namespace krait {
namespace {

using testing::HasSubstr;

class RandomCheckpointTest : public testing::Test {
 protected:
  std::string write(const RandomCheckpoint& settings, const std::string& name = "model") {
    write_random_checkpoint(temp_.path(name), settings);
    return temp_.path(name);
  }

  test::TempFolder temp_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

uint64_t fnv1a(const std::string& bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
  const Tensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) {
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  std::vector<float> out(static_cast<size_t>(tensor->elements()));
  copy_to_f32(*tensor, 0, tensor->elements(), out.data(), name);
  return out;
}

TEST_F(RandomCheckpointTest, SameSettingsGiveSameBytesOnAnyMachine) {
  EXPECT_EQ(fnv1a(bytes_of(write({}) + "/model.safetensors")), 574242295388124397u);
}

TEST_F(RandomCheckpointTest, AnotherSeedGivesOtherWeights) {
  const auto a = open_checkpoint(write({.seed = 1}, "a"));
  const auto b = open_checkpoint(write({.seed = 2}, "b"));
  for (const char* name : {"backbone.embeddings.weight", "backbone.layers.1.mixer.dt_proj.bias"})
    EXPECT_NE(values(*a, name), values(*b, name)) << name;
}

TEST_F(RandomCheckpointTest, ShapesFollowTheSettings) {
  const std::string path = write({.d_model = 20,
                                  .n_layer = 3,
                                  .d_state = 5,
                                  .d_conv = 3,
                                  .intermediate_size = 50,
                                  .vocab_rows = 40,
                                  .vocab_size = 37,
                                  .conv_bias = false,
                                  .use_bias = true,
                                  .tied = false});
  const auto checkpoint = open_checkpoint(path);
  const std::string mixer = "backbone.layers.2.mixer.";
  const std::vector<std::pair<std::string, Shape>> expected = {
      {"backbone.embeddings.weight", {40, 20}},
      {"lm_head.weight", {40, 20}},
      {"backbone.norm_f.weight", {20}},
      {"backbone.layers.2.norm.weight", {20}},
      {mixer + "in_proj.weight", {100, 20}},
      {mixer + "in_proj.bias", {100}},
      {mixer + "conv1d.weight", {50, 1, 3}},
      {mixer + "x_proj.weight", {12, 50}},
      {mixer + "dt_proj.weight", {50, 2}},
      {mixer + "dt_proj.bias", {50}},
      {mixer + "A_log", {50, 5}},
      {mixer + "D", {50}},
      {mixer + "out_proj.weight", {20, 50}},
      {mixer + "out_proj.bias", {20}},
  };
  for (const auto& [name, shape] : expected) {
    const Tensor* tensor = checkpoint->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, shape) << name;
  }
  EXPECT_EQ(checkpoint->names().size(), 3u + 3u * 11u);
  EXPECT_EQ(checkpoint->config().at("intermediate_size"), 50);
  EXPECT_EQ(checkpoint->config().at("time_step_rank"), "auto");
  EXPECT_EQ(checkpoint->config().at("vocab_size"), 37);
  EXPECT_FALSE(std::filesystem::exists(path + "/tokenizer.json"));
}

TEST_F(RandomCheckpointTest, ShapesOfMamba2FollowTheSettings) {
  const std::string path = write({.architecture = RandomArchitecture::mamba2,
                                  .d_model = 20,
                                  .n_layer = 3,
                                  .d_state = 5,
                                  .d_conv = 3,
                                  .intermediate_size = 48,
                                  .head_dim = 8,
                                  .n_groups = 2,
                                  .use_bias = true});
  const auto checkpoint = open_checkpoint(path);
  const std::string mixer = "backbone.layers.2.mixer.";
  const std::vector<std::pair<std::string, Shape>> expected = {
      {mixer + "in_proj.weight", {48 + 68 + 6, 20}},
      {mixer + "in_proj.bias", {48 + 68 + 6}},
      {mixer + "conv1d.weight", {48 + 2 * 2 * 5, 1, 3}},
      {mixer + "conv1d.bias", {68}},
      {mixer + "dt_bias", {6}},
      {mixer + "A_log", {6}},
      {mixer + "D", {6}},
      {mixer + "norm.weight", {48}},
      {mixer + "out_proj.weight", {20, 48}},
      {mixer + "out_proj.bias", {20}},
  };
  for (const auto& [name, shape] : expected) {
    const Tensor* tensor = checkpoint->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, shape) << name;
  }
  EXPECT_EQ(checkpoint->names().size(), 2u + 3u * 11u);
  EXPECT_EQ(checkpoint->config().at("num_heads"), 6);
  EXPECT_EQ(checkpoint->config().at("model_type"), "mamba2");
}

TEST_F(RandomCheckpointTest, LayoutsHaveTheirOwnNames) {
  const auto names = [&](RandomLayout layout, const std::string& folder, int64_t shards) {
    const auto checkpoint = open_checkpoint(write({.architecture = RandomArchitecture::mamba2,
                                                   .d_state = 64,
                                                   .vocab_size = 317,
                                                   .shards = shards,
                                                   .layout = layout},
                                                  folder));
    EXPECT_TRUE(checkpoint->find((layout == RandomLayout::mistral ? "model." : "") +
                                 std::string("backbone.layers.1.mixer.A_log")));
    return checkpoint->config();
  };
  const nlohmann::json native = names(RandomLayout::mamba_ssm, "native", 1);
  EXPECT_EQ(native["ssm_cfg"], nlohmann::json::parse(R"({"layer": "Mamba2", "d_state": 64})"));
  EXPECT_EQ(native["vocab_size"], 317);
  EXPECT_EQ(native["pad_vocab_size_multiple"], 8);
  EXPECT_EQ(names(RandomLayout::mistral, "mistral", 1)["dim"], 64);
  EXPECT_TRUE(std::filesystem::exists(temp_.path("mistral/params.json")));
  names(RandomLayout::mistral, "sharded", 2);
  EXPECT_TRUE(
      std::filesystem::exists(temp_.path("sharded/consolidated-00002-of-00002.safetensors")));
}

TEST_F(RandomCheckpointTest, HeadersAloneHaveTheSizeAndTakeNoRoom) {
  const std::string whole = write({}, "whole"), header = write({.header_only = true}, "header");
  const auto size = [](const std::string& folder) {
    return std::filesystem::file_size(folder + "/model.safetensors");
  };
  EXPECT_EQ(size(header), size(whole));
  const auto checkpoint = open_checkpoint(header);
  EXPECT_EQ(checkpoint->names(), open_checkpoint(whole)->names());
  EXPECT_THAT(values(*checkpoint, "backbone.norm_f.weight"), testing::Each(0));
  struct stat status {};
  ASSERT_EQ(::stat((header + "/model.safetensors").c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 64 << 10);
}

TEST_F(RandomCheckpointTest, ShardsHoldTheTensorsOfTheSingleFile) {
  const auto one = open_checkpoint(write({}, "one"));
  const auto three = open_checkpoint(write({.shards = 3}, "three"));
  ASSERT_EQ(one->names(), three->names());
  std::vector<std::string> files;
  for (const std::string& name : one->names()) {
    EXPECT_EQ(values(*one, name), values(*three, name)) << name;
    files.push_back(std::filesystem::path(three->file_of(name)).filename());
  }
  for (const char* shard : {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                            "model-00003-of-00003.safetensors"})
    EXPECT_THAT(files, testing::Contains(shard));
}

TEST_F(RandomCheckpointTest, NarrowTypesRoundTheSameWeights) {
  const auto exact = open_checkpoint(write({}, "f32"));
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const auto narrow = open_checkpoint(write({.dtype = dtype}, std::string(dtype_name(dtype))));
    for (const std::string& name : exact->names()) {
      EXPECT_EQ(narrow->find(name)->dtype, dtype);
      std::vector<float> rounded = values(*exact, name);
      for (float& value : rounded)
        value = dtype == DType::f16 ? f32_from_f16(f16_from_f32(value))
                                    : f32_from_bf16(bf16_from_f32(value));
      EXPECT_EQ(values(*narrow, name), rounded) << name;
    }
  }
}

TEST_F(RandomCheckpointTest, WeightsHaveTheScalesOfATrainedModel) {
  const auto checkpoint = open_checkpoint(write({.d_model = 128, .n_layer = 1}));
  const std::string mixer = "backbone.layers.0.mixer.";
  double sum = 0, squares = 0;
  const std::vector<float> in_proj = values(*checkpoint, mixer + "in_proj.weight");
  for (const float w : in_proj) {
    sum += w;
    squares += static_cast<double>(w) * w;
  }
  const double count = static_cast<double>(in_proj.size());
  EXPECT_NEAR(sum / count, 0, 0.002);
  EXPECT_NEAR(std::sqrt(squares / count), 1 / std::sqrt(128.0), 0.002);
  for (const float bias : values(*checkpoint, mixer + "dt_proj.bias")) {
    const float dt = std::log1p(std::exp(bias));
    EXPECT_GT(dt, 0.00099f);
    EXPECT_LT(dt, 0.1001f);
  }
  const std::vector<float> a_log = values(*checkpoint, mixer + "A_log");
  EXPECT_FLOAT_EQ(std::exp(a_log[16 + 15]), 16);
}

TEST_F(RandomCheckpointTest, TokenizerFitsTheVocabulary) {
  const auto tokenizer = load_tokenizer_json(write({.vocab_rows = 270}) + "/tokenizer.json");
  EXPECT_EQ(tokenizer->vocab_size(), 270);
  EXPECT_EQ(tokenizer->find("<|endoftext|>"), 0);
  const std::string text = "Once upon a time, in the École\n";
  const std::vector<int32_t> ids = tokenizer->encode(text);
  EXPECT_LT(ids.size(), text.size());  // merges apply
  EXPECT_EQ(decode(*tokenizer, ids), text);
}

TEST_F(RandomCheckpointTest, SettingsOutOfRangeAreRefusedByName) {
  const auto refusal = [&](const RandomCheckpoint& settings) {
    return test::message_of<InputError>([&] { write(settings); });
  };
  EXPECT_THAT(refusal({.d_model = 0}), HasSubstr("d_model is 0"));
  EXPECT_THAT(refusal({.d_conv = -1}), HasSubstr("d_conv is -1"));
  EXPECT_THAT(refusal({.vocab_rows = 8, .vocab_size = 9}), HasSubstr("vocab_rows is 8"));
  EXPECT_THAT(refusal({.dtype = DType::q8_0}), HasSubstr("dtype is q8_0"));
  EXPECT_THAT(refusal({.shards = 1000}), HasSubstr("shards is 1000"));
  EXPECT_THAT(refusal({.architecture = RandomArchitecture::mamba2, .head_dim = 48}),
              HasSubstr("head_dim is 48"));
  EXPECT_THAT(refusal({.architecture = RandomArchitecture::mamba2, .n_groups = 3}),
              HasSubstr("n_groups is 3"));
  EXPECT_THAT(refusal({.layout = RandomLayout::mistral}), HasSubstr("Mamba-2 only"));
  EXPECT_FALSE(std::filesystem::exists(temp_.path("model")));
}

TEST_F(RandomCheckpointTest, StreamedTensorsEqualThoseFromMemory) {
  NamedTensor whole{"a", DType::u8, {5, 1 << 19}};  // longer than a chunk, not a multiple of it
  whole.bytes.resize(5 << 19);
  for (size_t i = 0; i < whole.bytes.size(); ++i)
    whole.bytes[i] = static_cast<std::byte>(i ^ i >> 13);
  NamedTensor streamed{"a", DType::u8, {5, 1 << 19}};
  streamed.fill = [&](int64_t first, std::span<std::byte> out) {
    std::copy_n(whole.bytes.begin() + first, out.size(), out.begin());
  };
  const NamedTensor last = named_tensor("b", DType::f32, {2}, std::vector<float>{1.5f, -2.0f});
  write_safetensors(temp_.path("whole"), {whole, last});
  write_safetensors(temp_.path("streamed"), {streamed, last});
  EXPECT_EQ(bytes_of(temp_.path("whole")), bytes_of(temp_.path("streamed")));
  EXPECT_EQ(bytes_of(temp_.path("whole")).size() % 8, 0u);
}

TEST_F(RandomCheckpointTest, AFileThatCannotBeWrittenIsAFailure) {
  EXPECT_THROW(write_safetensors(temp_.path("missing/x"), {}), Failure);
  EXPECT_THROW(write_random_checkpoint("/dev/null/x", {}), Failure);
}

}  // namespace
}  // namespace krait
