// What `quantize` refuses, and what it says of vocabularies.
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "krait/quantize.h"
#include "src/engine/gguf_vocabulary.h"
#include "src/formats/open.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;
using test::message_of;
using test::TempFolder;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

const fs::path kModels = fs::path(KRAIT_TEST_GOLDEN) / "models";

OpenOptions open_options(const std::string& model, std::vector<std::string>* warnings = nullptr) {
  OpenOptions open;
  open.model = model;
  open.backend = {"cpu", "auto", 2};
  if (warnings) open.warn = [=](const std::string& text) { warnings->push_back(text); };
  return open;
}

std::string refusal(const std::string& model, const std::string& out, DType type = DType::f32) {
  return message_of<InputError>([&] { quantize(open_options(model), out, {.type = type}); });
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

json metadata_of(const std::string& path) { return open_checkpoint(path)->config(); }

// ---- what GGUF cannot say -------------------------------------------------------------------

TEST(QuantizeRefusal, ModelsThatGgufCannotDescribeAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"odd_inner", "there is a tensor backbone.layers.0.mixer.in_proj.bias"},
      {"mamba2_groups", "there is a tensor backbone.layers.0.mixer.in_proj.bias"},
      {"mamba2_limits", "the limits of dt are [0.02, 0.5]"},
      {"native_gate_only", "the mixers have no norm"},
      {"s4d", "the mixers are S4D"}};
  const TempFolder folder;
  for (const auto& [model, words] : cases) {
    const std::string path = (kModels / model).string();
    EXPECT_THAT(refusal(path, folder.path("x.gguf")),
                AllOf(HasSubstr(path), HasSubstr(words), HasSubstr("which GGUF cannot say")));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(QuantizeRefusal, SoAreTheParticularitiesOfMambaSsm) {
  const TempFolder folder;
  fs::copy(kModels / "native_mamba2", folder.path("model"));
  json config = json::parse(read(folder.path("model/config.json")));
  const auto refused = [&] {
    folder.write("model/config.json", config.dump());
    return refusal(folder.path("model"), folder.path("x.gguf"));
  };
  EXPECT_THAT(refused(), HasSubstr("the limits of dt are [0.01, 2], which GGUF cannot say"));
  config["ssm_cfg"].erase("dt_limit");
  EXPECT_THAT(refused(), HasSubstr("norm_before_gate is true, which GGUF cannot say"));
  config["ssm_cfg"]["norm_before_gate"] = false;
  EXPECT_THAT(refused(), HasSubstr("mixer.D has a value for every channel, which GGUF cannot say"));
}

TEST(QuantizeRefusal, WhatLlamaCppDoesOtherwiseIsWarnedOf) {
  const TempFolder folder;
  std::vector<std::string> warnings;
  const auto convert = [&](const char* model) {
    warnings.clear();
    quantize(open_options((kModels / model).string(), &warnings), folder.path("x.gguf"),
             {.type = DType::f32});
  };
  convert("falcon");
  EXPECT_THAT(warnings,
              Contains(AllOf(HasSubstr("mixer_rms_eps is 0.05, for which GGUF has no key"),
                             HasSubstr("the norms' 1e-05"))));
  EXPECT_FLOAT_EQ(metadata_of(folder.path("x.gguf"))["krait.mixer_rms_eps"].get<float>(), 0.05f);
  convert("no_conv_bias");
  EXPECT_THAT(warnings, Contains(HasSubstr("llama.cpp loads only models of twice d_model")));
  EXPECT_THAT(warnings, Contains(HasSubstr("no tokenizer goes into the file")));
}

// ---- paths, types, values -------------------------------------------------------------------

class QuantizeSmall : public testing::Test {
 protected:
  QuantizeSmall() {
    RandomCheckpoint checkpoint;
    checkpoint.n_layer = 1;
    write_random_checkpoint(folder_.path("model"), checkpoint);
  }
  std::string model() const { return folder_.path("model"); }
  std::string out() const { return folder_.path("x.gguf"); }
  TempFolder folder_;
};

TEST_F(QuantizeSmall, PathsAreChecked) {
  EXPECT_THAT(refusal(model(), folder_.path("x.bin")), HasSubstr("a name that ends in .gguf"));
  EXPECT_THAT(refusal(model(), folder_.path("no/x.gguf")), HasSubstr("cannot create"));
  EXPECT_THAT(refusal(folder_.path("none"), out()), HasSubstr("not found"));
  fs::create_directory(folder_.path("folder.gguf"));
  EXPECT_THAT(refusal(model(), folder_.path("folder.gguf")), HasSubstr("not a regular file"));
  quantize(open_options(model()), out(), {.type = DType::f32});
  const std::string before = read(out());
  fs::create_symlink(out(), folder_.path("link.gguf"));
  EXPECT_THAT(refusal(out(), out()), HasSubstr("it is a file of the model to convert"));
  EXPECT_THAT(refusal(out(), folder_.path("link.gguf")), HasSubstr("it is a file of the model"));
  EXPECT_EQ(read(out()), before);
}

TEST_F(QuantizeSmall, TypesOutOfTheListAreRefused) {
  for (const DType type : {DType::q5_k, DType::i8, DType::f64})
    EXPECT_THAT(refusal(model(), out(), type),
                HasSubstr("expected one of f32, f16, bf16, q8_0, q4_0, q4_k, q6_k"));
}

TEST_F(QuantizeSmall, AnInterruptLeavesNothing) {
  const std::atomic<bool> interrupted = true;
  EXPECT_FALSE(quantize(open_options(model()), out(), {.interrupt = &interrupted}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(QuantizeSmall, ProgressRisesToTheWhole) {
  int64_t last = 0, whole = 0;
  const auto result = quantize(open_options(model()), out(),
                               {.type = DType::q8_0, .on_progress = [&](int64_t done, int64_t all) {
                                  EXPECT_GE(done, last);
                                  last = done;
                                  whole = all;
                                }});
  EXPECT_EQ(whole, result->bytes_before);
  EXPECT_EQ(last, whole);
}

TEST(QuantizeValues, WhatATypeCannotHoldIsRefused) {
  for (const float wrong : {1e5f, NAN, -INFINITY}) {
    const TempFolder folder;
    RandomCheckpoint checkpoint;
    checkpoint.n_layer = 1;
    write_random_checkpoint(folder.path("model"), checkpoint);
    const std::string path = folder.path("model/model.safetensors");
    std::string bytes = read(path);
    uint64_t header;
    std::memcpy(&header, bytes.data(), sizeof header);
    std::memcpy(bytes.data() + 8 + header, &wrong, sizeof wrong);  // in the embedding
    folder.write("model/model.safetensors", bytes);
    EXPECT_THAT(refusal(folder.path("model"), folder.path("x.gguf"), DType::f16),
                AllOf(HasSubstr("tensor backbone.embeddings.weight holds"),
                      HasSubstr(std::isfinite(wrong) ? " at [0, 0], beyond what f16 can hold"
                                                     : " at [0, 0]; expected finite numbers")));
    EXPECT_FALSE(fs::exists(folder.path("x.gguf")));
    if (!std::isfinite(wrong)) continue;
    EXPECT_TRUE(
        quantize(open_options(folder.path("model")), folder.path("x.gguf"), {.type = DType::bf16}));
  }
}

// ---- vocabularies ---------------------------------------------------------------------------

VocabularyTables small_tables() {
  VocabularyTables tables;
  tables.model = "gpt2";
  tables.pre = "olmo";
  tables.tokens = {"a", "", "b"};
  tables.token_type = {control, normal, normal};
  tables.merges = {"a b"};
  return tables;
}

TEST(GgufVocabulary, TablesBecomeKeysAndRowsWithoutATokenPadding) {
  ordered_json keys = gguf_vocabulary(small_tables(), {.eos = {2, 0}, .bos = 0});
  pad_gguf_vocabulary(keys, 5);
  EXPECT_EQ(json(keys), json::parse(R"({"tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "olmo", "tokenizer.ggml.tokens": ["a", "[PAD1]", "b", "[PAD3]",
      "[PAD4]"], "tokenizer.ggml.token_type": [3, 5, 1, 5, 5], "tokenizer.ggml.merges": ["a b"],
      "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 2,
      "tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": false})"));
}

TEST(GgufVocabulary, SentencepieceHasScoresAndTheSpacePrefix) {
  VocabularyTables tables = small_tables();
  tables.model = "llama";
  tables.pre = "";
  tables.merges = {};
  tables.scores = {0, -1.5f, -2};
  tables.add_bos_token = tables.add_space_prefix = true;
  ordered_json keys = gguf_vocabulary(tables, {});
  pad_gguf_vocabulary(keys, 4);
  EXPECT_EQ(json(keys), json::parse(R"({"tokenizer.ggml.model": "llama",
      "tokenizer.ggml.tokens": ["a", "[PAD1]", "b", "[PAD3]"],
      "tokenizer.ggml.scores": [0.0, -1000.0, -2.0, -1000.0],
      "tokenizer.ggml.token_type": [3, 5, 1, 5], "tokenizer.ggml.add_bos_token": true,
      "tokenizer.ggml.add_eos_token": false, "tokenizer.ggml.add_space_prefix": true})"));
}

TEST_F(QuantizeSmall, SpecialIdsComeBack) {
  quantize(open_options(model()), out(), {.type = DType::f32});
  const ModelFiles files = open_model_files(open_options(out()));
  EXPECT_EQ(files.special.bos, 0);
  EXPECT_EQ(files.special.eos, std::vector<int32_t>{0});
}

TEST_F(QuantizeSmall, TheChatTemplateGoesAlong) {
  folder_.write("model/chat_template.jinja", "{{ messages }}");
  quantize(open_options(model()), out(), {.type = DType::f32});
  EXPECT_EQ(metadata_of(out())["tokenizer.chat_template"], "{{ messages }}");
  quantize(open_options(out()), folder_.path("again.gguf"), {.type = DType::f16});
  EXPECT_EQ(metadata_of(folder_.path("again.gguf"))["tokenizer.chat_template"], "{{ messages }}");
}

}  // namespace
}  // namespace krait
