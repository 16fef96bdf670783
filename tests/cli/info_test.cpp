// info: what it says of a model, and where it looks for that.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The tensors of a safetensors file, all zero, as torch.save writes them, with lm_head.weight as
// another name of the embedding.
std::string with_shared_head(const std::string& file) {
  const std::string bytes = read_file(file);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  std::vector<std::pair<std::string, std::string>> tensors;
  std::vector<test::StoredBytes> storages;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto shape = entry["shape"].get<std::vector<int64_t>>();
    std::vector<int64_t> strides(shape.size(), 1);
    for (size_t i = shape.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * shape[i + 1];
    const int64_t count = shape[0] * strides[0];
    const std::string key = std::to_string(storages.size());
    const std::string tensor =
        test::tensor(test::storage("FloatStorage", key, count), 0, shape, strides);
    tensors.emplace_back(name, tensor);
    if (name == "backbone.embeddings.weight") tensors.emplace_back("lm_head.weight", tensor);
    storages.push_back({key, std::string(static_cast<size_t>(count) * 4, '\0')});
  }
  return test::torch_zip(test::pickle(test::dict(tensors)), storages);
}

TEST(Info, JsonTellsArchitectureSizesAndMachine) {
  const auto value = run_json({"info", "-m", test_model(), "-t", "1", "--cpu-isa", "scalar"});
  EXPECT_EQ(value["model"], test_model());
  EXPECT_EQ(value["container"], "safetensors");
  EXPECT_EQ(value["files"].size(), 1u);
  EXPECT_EQ(value["architecture"], "mamba");
  EXPECT_EQ(value["d_model"], 64);
  EXPECT_EQ(value["n_layer"], 2);
  EXPECT_EQ(value["vocab_size"], 320);
  EXPECT_EQ(value["embedding_rows"], 330);
  EXPECT_EQ(value["norm_eps"], 1e-5);
  EXPECT_EQ(value["tied_head"], true);
  EXPECT_EQ(value["layers"].size(), 2u);
  EXPECT_EQ(value["layers"][1], nlohmann::json::parse(R"({"mixer": "mamba1", "d_inner": 128,
      "d_state": 16, "d_conv": 4, "dt_rank": 4})"));
  EXPECT_EQ(value["bytes_by_dtype"]["f32"], value["parameters"].get<int64_t>() * 4);
  EXPECT_EQ(value["state_bytes_per_sequence"], 2 * 128 * (3 + 16) * 4);
  EXPECT_EQ(value["tokenizer"]["kind"], "byte-level BPE");
  EXPECT_EQ(value["eos_ids"], nlohmann::json::parse("[0]"));
  EXPECT_EQ(value["bos_id"], 0);
  EXPECT_EQ(value["machine"]["device"], "cpu");
  EXPECT_EQ(value["machine"]["isa"], "scalar");
  EXPECT_EQ(value["machine"]["threads"], 1);
}

TEST(Info, JsonTellsDtypesStatePlanesAndSpecialTokens) {
  const auto value = run_json({"info", "-m", test_model()});
  EXPECT_EQ(value["dtype"], "f32");
  EXPECT_EQ(value["weight_bytes"], value["parameters"].get<int64_t>() * 4);
  EXPECT_EQ(value["state_bytes_by_plane"],
            nlohmann::json::parse(R"({"conv": 3072, "ssm": 16384})"));
  const auto end = nlohmann::json::parse(R"({"id": 0, "text": "<|endoftext|>"})");
  EXPECT_EQ(value["special_tokens"]["bos"], end);
  EXPECT_EQ(value["special_tokens"]["eos"], nlohmann::json::array({end}));
  EXPECT_EQ(value["special_tokens"]["pad"], end);
  EXPECT_TRUE(value["special_tokens"]["unk"].is_null());
  EXPECT_TRUE(value["chat_template"].is_null());
}

TEST(Info, TextIsATableOfEveryHyperParameter) {
  const Result result = run({"info", "-m", test_model(), "-t", "1", "--cpu-isa", "scalar"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out.substr(0, result.out.find("device")), "model          " + test_model() + R"(
files          model.safetensors (safetensors)
architecture   mamba
parameters     86,592
weights        346.4 kB of f32
d_model        64
n_layer        2
mixer          mamba1 (layers 0-1): d_inner 128, d_state 16, d_conv 4, dt_rank 4
norm_eps       1e-05
vocab_size     320 and 10 rows of padding
head           tied to the embedding
state          19.5 kB per sequence: conv 3.1 kB, ssm 16.4 kB
tokenizer      byte-level BPE, 289 tokens
bos            0 "<|endoftext|>"
eos            0 "<|endoftext|>"
pad            0 "<|endoftext|>"
unk            none
chat template  none
)");
  EXPECT_THAT(result.out, HasSubstr("scalar, 1 thread\n"));
}

TEST(Info, BundledModelIsNamedWithItsPath) {
  const Result result = run({"info"});
  EXPECT_THAT(result.out, HasSubstr("model          tales\npath           /"));
  EXPECT_THAT(result.out, HasSubstr("parameters     4,552,960\n"));
  EXPECT_THAT(result.out, HasSubstr("weights        9.2 MB: bf16 9.0 MB, f32 278.5 kB\n"));
}

TEST(Info, EveryMixerOfMamba2) {
  const test::TempFolder folder;
  RandomCheckpoint settings;
  settings.architecture = RandomArchitecture::mamba2;
  settings.n_layer = 4;
  settings.n_groups = 2;
  settings.shards = 5;
  write_random_checkpoint(folder.path(), settings);
  const auto value = run_json({"info", "-m", folder.path()});
  EXPECT_EQ(value["layers"][0], nlohmann::json::parse(R"({"mixer": "mamba2", "d_inner": 128,
      "n_heads": 2, "head_dim": 64, "n_groups": 2, "d_state": 16, "d_conv": 4, "gated_norm": true,
      "norm_before_gate": false, "norm_eps": 1e-5})"));
  EXPECT_EQ(value["state_bytes_by_plane"]["conv"], 4 * 3 * (128 + 2 * 2 * 16) * 4);
  EXPECT_EQ(value["state_bytes_by_plane"]["ssm"], 4 * 128 * 16 * 4);
  EXPECT_EQ(value["files"].size(), 5u);
  EXPECT_THAT(run({"info", "-m", folder.path()}).out,
              AllOf(HasSubstr("00003-of-00005.safetensors and 2 more (safetensors)\n"),
                    HasSubstr("parameters     140,376\n"),
                    HasSubstr("mixer          mamba2 (layers 0-3): d_inner 128, n_heads 2")));
}

TEST(Info, SpecialTokensOfAllFiles) {
  const ModelCopy copy;
  write_file(copy.file("generation_config.json"),
             R"({"eos_token_id": [0, 5], "bos_token_id": 7, "pad_token_id": null})");
  copy.replace("config.json", "\"pad_token_id\": 0", "\"pad_token_id\": -1");
  write_file(copy.file("tokenizer_config.json"),
             R"({"pad_token": {"content": "H"}, "unk_token": null})");
  write_file(copy.file("special_tokens_map.json"), R"({"pad_token": "e", "unk_token": "I"})");
  const auto value = run_json({"info", "-m", copy.path()});
  const auto& special = value["special_tokens"];
  EXPECT_EQ(value["eos_ids"], nlohmann::json::parse("[0, 5]"));
  EXPECT_EQ(value["bos_id"], 7);
  EXPECT_EQ(special["bos"]["id"], 7);
  EXPECT_EQ(special["eos"][1]["id"], 5);
  EXPECT_EQ(special["pad"]["text"], "H");
  EXPECT_EQ(special["unk"]["text"], "I");
}

TEST(Info, ChatTemplateOfTheFileThenOfTheTokenizersConfig) {
  const ModelCopy copy;
  const auto found = [&](const std::string& config) {
    write_file(copy.file("tokenizer_config.json"), config);
    return run_json({"info", "-m", copy.path()})["chat_template"];
  };
  EXPECT_TRUE(found("{}").is_null());
  EXPECT_TRUE(found(R"({"chat_template": null})").is_null());
  EXPECT_EQ(found(R"({"chat_template": "{{ x }}"})"), "{{ x }}");
  EXPECT_THAT(run({"info", "-m", copy.path()}).out, HasSubstr("chat template  7 bytes\n"));
  EXPECT_EQ(found(R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                        {"name": "default", "template": "d"}]})"),
            "d");
  EXPECT_TRUE(found(R"({"chat_template": [{"name": "tool_use", "template": "t"}]})").is_null());
  write_file(copy.file("chat_template.jinja"), "file");
  EXPECT_EQ(found(R"({"chat_template": "config"})"), "file");
}

TEST(Info, ChatTemplateThatIsNoTextIsRefused) {
  const ModelCopy copy;
  for (const char* value :
       {"1", "{}", "[1]", "[{\"name\": \"default\"}]", "[{\"name\": 1, \"template\": \"t\"}]"}) {
    write_file(copy.file("tokenizer_config.json"),
               "{\"chat_template\": " + std::string(value) + "}");
    const Result result = run({"info", "-m", copy.path()});
    EXPECT_EQ(result.exit_code, 2) << value;
    EXPECT_THAT(result.err, HasSubstr("tokenizer_config.json: chat_template is ")) << value;
  }
  write_file(copy.file("tokenizer_config.json"), "[]");
  EXPECT_THAT(run({"info", "-m", copy.path()}).err,
              HasSubstr("tokenizer_config.json holds array; expected an object"));
}

TEST(Info, SharedBytesCountOnce) {  // a tied head stored as a second name, as PyTorch does
  const test::TempFolder folder;
  folder.write("config.json", read_file(test_model() + "/config.json"));
  folder.write("pytorch_model.bin", with_shared_head(test_model() + "/model.safetensors"));
  const auto value = run_json({"info", "-m", folder.path()});
  EXPECT_EQ(value["container"], "PyTorch");
  EXPECT_EQ(value["tied_head"], true);
  EXPECT_EQ(value["parameters"], run_json({"info", "-m", test_model()})["parameters"]);
}

TEST(Info, TensorsOfUnreadTypesAreNamedOnce) {
  const ModelCopy copy;
  const std::string file = copy.file("model.safetensors");
  std::string bytes = read_file(file);
  const std::string more = R"("x":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0]},)"
                           R"("y":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0]},)";
  bytes.insert(9, more);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  length += more.size();
  std::memcpy(bytes.data(), &length, 8);
  write_file(file, bytes);
  const Result result = run({"info", "-m", copy.path()});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("2 tensors are not counted; the first: "));
  EXPECT_THAT(result.err, HasSubstr("tensor \"x\" has type F8_E4M3"));
  EXPECT_THAT(result.out, HasSubstr("parameters     86,592\n"));
}

TEST(Info, WorksWithoutTokenizer) {
  const ModelCopy copy;
  std::remove(copy.file("tokenizer.json").c_str());
  EXPECT_TRUE(run_json({"info", "-m", copy.path()})["tokenizer"].is_null());
  EXPECT_EQ(run({"tokenize", "-m", copy.path(), "-p", "a"}).exit_code, 2);
  EXPECT_EQ(run({"generate", "-m", copy.path(), "-p", "a"}).exit_code, 2);
  EXPECT_EQ(run({"generate", "-m", copy.path(), "--ids", "5"}).exit_code, 2);
  const auto ids = run_json({"generate", "-m", copy.path(), "--ids", "5", "-n", "3", "--greedy"});
  EXPECT_EQ(ids["ids"].size() + (ids["finish_reason"] == "eos" ? 3 : 0), 3u);
  EXPECT_EQ(run_json({"score", "-m", copy.path(), "--ids", "5,6"})["tokens"][1]["text"], "");
  EXPECT_EQ(run({"generate", "-m", copy.path(), "-p", "a", "--tokenizer", test_model()}).exit_code,
            0);
}

}  // namespace
}  // namespace krait
