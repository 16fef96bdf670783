// Reading config.json: the dialects of transformers, mamba_ssm and Mistral, shapes over numbers,
// and a named refusal for what krait cannot run. Checkpoints here are names and shapes only.
#include <limits>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "krait/model.h"

namespace krait {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class FakeCheckpoint final : public Checkpoint {
 public:
  json document = json::object();

  void add(const std::string& name, Shape shape) {
    names_.push_back(name);
    // Every tensor at an address of its own, as in a file.
    tensors_[name] = {DType::f32, std::move(shape), std::span(bytes_).subspan(tensors_.size(), 1)};
  }
  void add_same(const std::string& name, const std::string& as) { tensors_[name] = tensors_[as]; }
  void remove(const std::string& name) { ASSERT_EQ(tensors_.erase(name), 1u) << name; }
  void reshape(const std::string& name, Shape shape) { tensors_.at(name).shape = std::move(shape); }

  const std::string& source() const noexcept override { return source_; }
  std::string_view container() const noexcept override { return "safetensors"; }
  const json& config() const noexcept override { return document; }
  const std::vector<std::string>& names() const noexcept override { return names_; }
  const Tensor* find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second;
  }
  const std::string& file_of(std::string_view) const noexcept override { return source_; }
  void release(const Tensor&) const noexcept override {}

 private:
  std::string source_ = "folder";
  std::vector<std::string> names_;
  std::map<std::string, Tensor> tensors_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(4096);
};

struct Mamba2Shape {
  int64_t d_model, heads, head_dim, bc;  // bc: n_groups * d_state
  int64_t d_inner() const { return heads * head_dim; }
};

// One layer and the rest of a model, under `prefix` + "backbone.".
FakeCheckpoint mamba2_model(const Mamba2Shape& s, const json& config, int64_t rows = 64,
                            const std::string& prefix = "") {
  FakeCheckpoint out;
  out.document = config;
  const std::string mixer = prefix + "backbone.layers.0.mixer.";
  const int64_t conv = s.d_inner() + 2 * s.bc;
  out.add(prefix + "backbone.embedding.weight", {rows, s.d_model});
  out.add(prefix + "backbone.norm_f.weight", {s.d_model});
  out.add(prefix + "backbone.layers.0.norm.weight", {s.d_model});
  out.add(mixer + "in_proj.weight", {s.d_inner() + conv + s.heads, s.d_model});
  out.add(mixer + "conv1d.weight", {conv, 1, 4});
  out.add(mixer + "conv1d.bias", {conv});
  out.add(mixer + "A_log", {s.heads});
  out.add(mixer + "D", {s.heads});
  out.add(mixer + "dt_bias", {s.heads});
  out.add(mixer + "norm.weight", {s.d_inner()});
  out.add(mixer + "out_proj.weight", {s.d_model, s.d_inner()});
  return out;
}

FakeCheckpoint mamba1_model(int64_t d_model, int64_t d_inner, int64_t states, int64_t rank,
                            const json& config, int64_t rows = 64) {
  FakeCheckpoint out;
  out.document = config;
  const std::string mixer = "backbone.layers.0.mixer.";
  out.add("backbone.embeddings.weight", {rows, d_model});
  out.add("backbone.norm_f.weight", {d_model});
  out.add("backbone.layers.0.norm.weight", {d_model});
  out.add(mixer + "in_proj.weight", {2 * d_inner, d_model});
  out.add(mixer + "conv1d.weight", {d_inner, 1, 4});
  out.add(mixer + "conv1d.bias", {d_inner});
  out.add(mixer + "x_proj.weight", {rank + 2 * states, d_inner});
  out.add(mixer + "dt_proj.weight", {d_inner, rank});
  out.add(mixer + "dt_proj.bias", {d_inner});
  out.add(mixer + "A_log", {d_inner, states});
  out.add(mixer + "D", {d_inner});
  out.add(mixer + "out_proj.weight", {d_model, d_inner});
  return out;
}

struct Read {
  ModelConfig config;
  std::vector<std::string> warnings;
  const Mamba1Config& mamba1() const { return std::get<Mamba1Config>(config.layers.at(0)); }
  const Mamba2Config& mamba2() const { return std::get<Mamba2Config>(config.layers.at(0)); }
};

Read read(const FakeCheckpoint& checkpoint) {
  Read out;
  out.config =
      read_model_config(checkpoint, [&](const std::string& text) { out.warnings.push_back(text); });
  return out;
}

std::string refusal(const FakeCheckpoint& checkpoint) {
  try {
    read(checkpoint);
  } catch (const InputError& e) {
    return e.what();
  }
  return "accepted";
}

constexpr Mamba2Shape kSmall = {32, 8, 8, 40};
const json kHuggingFace = {{"model_type", "mamba2"}, {"n_groups", 2}, {"state_size", 20}};

json with(json config, const json& more) {
  config.update(more);
  return config;
}

TEST(Mamba2ConfigTest, HuggingFaceKeys) {
  const Read found = read(mamba2_model(kSmall, with(kHuggingFace, {{"num_heads", 8},
                                                                   {"head_dim", 8},
                                                                   {"hidden_size", 32},
                                                                   {"expand", 2},
                                                                   {"conv_kernel", 4},
                                                                   {"num_hidden_layers", 1},
                                                                   {"layer_norm_epsilon", 0.01},
                                                                   {"use_conv_bias", true},
                                                                   {"chunk_size", 7},
                                                                   {"norm_before_gate", true}})));
  EXPECT_EQ(found.config.architecture, "mamba2");
  const Mamba2Config& c = found.mamba2();
  EXPECT_EQ(std::tuple(c.n_heads, c.head_dim, c.n_groups, c.d_state, c.d_conv),
            std::tuple(8, 8, 2, 20, 4));
  EXPECT_EQ(c.norm_eps, 0.01f);
  EXPECT_TRUE(c.gated_norm);
  EXPECT_FALSE(c.norm_before_gate) << "transformers ignores the key";
  EXPECT_THAT(found.warnings, testing::IsEmpty());
}

TEST(Mamba2ConfigTest, ArchitecturesNamesTheModelWhereModelTypeIsMissing) {
  const json config = {{"architectures", {"Mamba2ForCausalLM"}}, {"state_size", 20}};
  EXPECT_EQ(read(mamba2_model(kSmall, config)).config.architecture, "mamba2");
}

TEST(Mamba2ConfigTest, ShapesGiveTheProductOfGroupsAndStates) {
  const auto groups = [](const json& config) {
    const Mamba2Config c = read(mamba2_model(kSmall, config)).mamba2();
    return std::pair(c.n_groups, c.d_state);
  };
  const json hugging_face = {{"model_type", "mamba2"}};
  EXPECT_EQ(groups(with(hugging_face, {{"state_size", 10}})), std::pair(int64_t{4}, int64_t{10}));
  EXPECT_EQ(groups(with(hugging_face, {{"n_groups", 4}})), std::pair(int64_t{4}, int64_t{10}));
  EXPECT_EQ(groups(hugging_face), std::pair(int64_t{8}, int64_t{5})) << "the class's default";
  EXPECT_EQ(groups({{"d_model", 32}, {"ssm_cfg", {{"layer", "Mamba2"}}}}),
            std::pair(int64_t{1}, int64_t{40}));
}

TEST(Mamba2ConfigTest, GroupsThatTheShapesContradictAreRefused) {
  const auto refuse = [](const json& more) {
    return refusal(mamba2_model(kSmall, with({{"model_type", "mamba2"}}, more)));
  };
  EXPECT_THAT(
      refuse({{"n_groups", 2}, {"state_size", 128}}),
      HasSubstr("have 40 channels each for B and C; expected n_groups 2 times d_state 128"));
  EXPECT_THAT(refuse({{"n_groups", 3}}), HasSubstr("expected n_groups 3"));
  EXPECT_THAT(refuse({{"state_size", 7}}), HasSubstr("times d_state 7"));
  EXPECT_THAT(refuse({{"n_groups", 5}}),
              HasSubstr("n_groups is 5; expected a divisor of the 8 heads"));
  EXPECT_THAT(refuse({{"n_groups", 0}}), HasSubstr("n_groups is 0"));
  EXPECT_THAT(refuse({{"state_size", -1}}), HasSubstr("d_state is -1"));
}

TEST(Mamba2ConfigTest, NumbersThatTheShapesCorrectAreWarnedOf) {
  const Read found = read(mamba2_model(kSmall, with(kHuggingFace, {{"num_heads", 128},
                                                                   {"head_dim", 64},
                                                                   {"hidden_size", 4096},
                                                                   {"expand", 3},
                                                                   {"conv_kernel", 5},
                                                                   {"rms_norm", false}})));
  EXPECT_EQ(found.mamba2().n_heads, 8);
  const std::vector<std::string> keys = {"hidden_size", "rms_norm",  "expand",
                                         "conv_kernel", "num_heads", "head_dim"};
  ASSERT_EQ(found.warnings.size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i)
    EXPECT_THAT(found.warnings[i], HasSubstr("folder: config.json: " + keys[i] + " is "));
}

TEST(Mamba2ConfigTest, TimeStepLimitInEverySpelling) {
  const auto limits = [](const json& value) {
    const Mamba2Config c =
        read(mamba2_model(kSmall, with(kHuggingFace, {{"time_step_limit", value}}))).mamba2();
    return std::pair(c.dt_min, c.dt_max);
  };
  EXPECT_EQ(limits(nullptr), std::pair(0.0f, kInfinity));
  EXPECT_EQ(limits({0.0, std::numeric_limits<double>::infinity()}), std::pair(0.0f, kInfinity));
  EXPECT_EQ(limits({0.0, {{"__float__", "Infinity"}}}), std::pair(0.0f, kInfinity));
  EXPECT_EQ(limits({nullptr, nullptr}), std::pair(0.0f, kInfinity));
  EXPECT_EQ(limits({0.25, 0.5}), std::pair(0.25f, 0.5f));
  EXPECT_EQ(limits({0, 1}), std::pair(0.0f, 1.0f));
  EXPECT_EQ(limits({0, 1e300}), std::pair(0.0f, kInfinity));
}

TEST(Mamba2ConfigTest, BrokenTimeStepLimitsAreRefused) {
  for (const json& value :
       {json(3), json("auto"), json::array({0.1}), json::array({0.1, 0.2, 0.3}),
        json::array({0.2, 0.1}), json::array({-0.1, 1.0}), json::array({"0", 1}),
        json::array({std::nan(""), 1.0}), json::array({0.0, std::nan("")}),
        json::array({0.0, {{"__float__", "NaN"}}}),
        json::array({0.0, {{"__float__", "-Infinity"}}}),
        json::array(
            {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()})})
    EXPECT_THAT(refusal(mamba2_model(kSmall, with(kHuggingFace, {{"time_step_limit", value}}))),
                HasSubstr("time_step_limit is"))
        << value;
}

TEST(Mamba2ConfigTest, NormMayBeAbsentUnlessPromised) {
  FakeCheckpoint model = mamba2_model(kSmall, kHuggingFace);
  model.remove("backbone.layers.0.mixer.norm.weight");
  EXPECT_FALSE(read(model).mamba2().gated_norm);
  model.document["rms_norm"] = true;
  EXPECT_THAT(refusal(model), HasSubstr("rms_norm is true, but tensor "
                                        "backbone.layers.0.mixer.norm.weight is missing"));
}

TEST(Mamba2ConfigTest, TensorsThatDoNotFitTogetherAreRefused) {
  const std::string mixer = "backbone.layers.0.mixer.";
  const auto refuse = [&](const std::string& name, const Shape& shape) {
    FakeCheckpoint model = mamba2_model(kSmall, kHuggingFace);
    model.reshape(mixer + name, shape);
    return refusal(model);
  };
  EXPECT_THAT(refuse("in_proj.weight", {300, 32}), HasSubstr("in_proj has 300 rows; expected 216"));
  EXPECT_THAT(refuse("out_proj.weight", {32, 80}), HasSubstr("an MLP inside the mixer"));
  EXPECT_THAT(refuse("A_log", {8, 4}), HasSubstr("A_log has shape [8, 4]; expected [any]"));
  EXPECT_THAT(refuse("A_log", {0}), HasSubstr("n_heads is 0"));
  EXPECT_THAT(refuse("D", {9}), HasSubstr("D has shape [9]; expected [8]"));
  EXPECT_THAT(refuse("dt_bias", {64}), HasSubstr("dt_bias has shape [64]; expected [8]"));
  EXPECT_THAT(refuse("norm.weight", {8}), HasSubstr("norm.weight has shape [8]; expected [64]"));
  EXPECT_THAT(refuse("conv1d.weight", {144, 1, 65}), HasSubstr("d_conv is 65; expected 1 to 64"));
  EXPECT_EQ(refuse("D", {64}), "accepted") << "D of every channel";
}

TEST(NativeConfigTest, MambaSsmOfMamba2WithPublishedShapes) {  // state-spaces/mamba2-130m
  const Read found = read(mamba2_model({768, 24, 64, 128},
                                       {{"d_model", 768},
                                        {"d_intermediate", 0},
                                        {"n_layer", 1},
                                        {"vocab_size", 50277},
                                        {"ssm_cfg", {{"layer", "Mamba2"}}},
                                        {"attn_layer_idx", json::array()},
                                        {"attn_cfg", json::object()},
                                        {"rms_norm", true},
                                        {"residual_in_fp32", true},
                                        {"fused_add_norm", true},
                                        {"pad_vocab_size_multiple", 16},
                                        {"tie_embeddings", true}},
                                       50288));
  EXPECT_EQ(found.config.architecture, "mamba2");
  EXPECT_EQ(found.config.vocab_size, 50277);
  EXPECT_EQ(found.config.embedding_rows, 50288);
  EXPECT_EQ(found.config.norm_eps, 1e-5f);
  const Mamba2Config& c = found.mamba2();
  EXPECT_EQ(std::tuple(c.n_heads, c.head_dim, c.n_groups, c.d_state), std::tuple(24, 64, 1, 128));
  EXPECT_THAT(found.warnings, testing::IsEmpty());
}

TEST(NativeConfigTest, MixerKeysAreThoseOfSsmCfg) {
  const Read found = read(mamba2_model(kSmall, {{"d_model", 32},
                                                {"ssm_cfg",
                                                 {{"layer", "Mamba2"},
                                                  {"d_state", 10},
                                                  {"ngroups", 4},
                                                  {"headdim", 99},
                                                  {"expand", 2},
                                                  {"norm_before_gate", true},
                                                  {"dt_limit", {0.1, 0.2}}}}}));
  EXPECT_EQ(found.mamba2().n_groups, 4);
  EXPECT_EQ(found.mamba2().dt_max, 0.2f);
  EXPECT_TRUE(found.mamba2().norm_before_gate);
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_THAT(found.warnings[0], HasSubstr("config.json ssm_cfg: headdim is 99"));
}

TEST(NativeConfigTest, MambaSsmOfMamba1) {
  const json config = {{"d_model", 32},
                       {"n_layer", 1},
                       {"vocab_size", 61},
                       {"ssm_cfg", json::object()},
                       {"pad_vocab_size_multiple", 8}};
  const Read found = read(mamba1_model(32, 64, 16, 2, config));
  EXPECT_EQ(found.config.architecture, "mamba");
  EXPECT_EQ(found.mamba1().d_inner, 64);
  EXPECT_FALSE(found.mamba1().dt_b_c_rms_eps);
  EXPECT_THAT(found.warnings, testing::IsEmpty());
}

TEST(NativeConfigTest, PaddingThatDoesNotGiveTheRowsIsWarnedOf) {
  const json config = {{"d_model", 32}, {"vocab_size", 50}, {"pad_vocab_size_multiple", 8}};
  const Read found = read(mamba1_model(32, 64, 16, 2, config));
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_THAT(found.warnings[0], HasSubstr("pad_vocab_size_multiple is 8 and vocab_size 50, but "
                                           "the embedding has 64 rows"));
}

TEST(NativeConfigTest, WhatKraitCannotRunIsNamed) {
  const auto refuse = [](const json& more) {
    return refusal(mamba1_model(32, 64, 16, 2, with({{"d_model", 32}}, more)));
  };
  EXPECT_THAT(refuse({{"attn_layer_idx", {3, 9}}}), HasSubstr("attn_layer_idx is [3,9]"));
  EXPECT_THAT(refuse({{"d_intermediate", 64}}), HasSubstr("d_intermediate is 64"));
  EXPECT_THAT(refuse({{"rms_norm", false}}), HasSubstr("LayerNorm is not supported"));
  EXPECT_THAT(refuse({{"ssm_cfg", {{"layer", "Mamba3"}}}}),
              HasSubstr("layer is \"Mamba3\"; expected \"Mamba1\" or \"Mamba2\""));
  EXPECT_THAT(refuse({{"ssm_cfg", 3}}), HasSubstr("config.json ssm_cfg: is not a JSON object"));
  EXPECT_THAT(refuse({{"n_layer", 2}}), HasSubstr("n_layer is 2, but the tensors have 1 layers"));
  EXPECT_THAT(refuse({{"tie_embeddings", false}}), HasSubstr("no tensor lm_head.weight"));
}

TEST(NativeConfigTest, CodestralLayout) {
  FakeCheckpoint model = mamba2_model({4096, 128, 64, 1024},
                                      {{"dim", 4096},
                                       {"n_layers", 1},
                                       {"n_groups", 8},
                                       {"vocab_size", 32768},
                                       {"model_type", "mamba"},
                                       {"tie_embeddings", false},
                                       {"rms_norm", true}},
                                      32768, "model.");
  model.add("model.lm_head.weight", {32768, 4096});
  const Read found = read(model);
  EXPECT_EQ(found.config.architecture, "mamba2");
  EXPECT_FALSE(found.config.tied_head);
  EXPECT_EQ(found.mamba2().n_groups, 8);
  EXPECT_EQ(found.mamba2().d_state, 128);
  EXPECT_EQ(state_layout(found.config).floats_per_slot(), 3 * 10240 + 128 * 64 * 128);
}

TEST(FalconConfigTest, ExpandGivesWayToIntermediateSizeAndTheNormHasItsOwnEps) {
  json config = {{"model_type", "falcon_mamba"},
                 {"hidden_size", 32},
                 {"expand", 16},
                 {"intermediate_size", 64},
                 {"layer_norm_epsilon", 1e-5}};
  const Read found = read(mamba1_model(32, 64, 16, 2, config));
  EXPECT_EQ(found.config.architecture, "falcon_mamba");
  EXPECT_EQ(found.mamba1().dt_b_c_rms_eps, 1e-6f);
  EXPECT_THAT(found.warnings, testing::IsEmpty());
  config["mixer_rms_eps"] = 0.5;
  EXPECT_EQ(read(mamba1_model(32, 64, 16, 2, config)).mamba1().dt_b_c_rms_eps, 0.5f);
  config["mixer_rms_eps"] = 0;
  EXPECT_THAT(refusal(mamba1_model(32, 64, 16, 2, config)),
              HasSubstr("mixer_rms_eps is 0; expected a number in (0, 1)"));
}

TEST(TiedHeadTest, AnyNameOfTheSharedMatrixWill) {
  const json config = {{"model_type", "mamba"}, {"tie_word_embeddings", true}};
  FakeCheckpoint both = mamba1_model(32, 64, 16, 2, config);
  both.add_same("lm_head.weight", "backbone.embeddings.weight");
  EXPECT_TRUE(read(both).config.tied_head);
  both.remove("backbone.embeddings.weight");
  EXPECT_TRUE(read(both).config.tied_head);
  FakeCheckpoint untied = mamba1_model(32, 64, 16, 2, config);
  untied.add("lm_head.weight", {64, 32});
  EXPECT_FALSE(read(untied).config.tied_head) << "a head of its own is used";
}

TEST(ModelTypeTest, UnknownModelsAreNamed) {
  EXPECT_THAT(
      refusal(mamba1_model(32, 64, 16, 2, {{"model_type", "llama"}})),
      HasSubstr("model_type is \"llama\"; expected \"mamba\", \"falcon_mamba\", \"mamba2\" or"));
  EXPECT_THAT(refusal(mamba1_model(32, 64, 16, 2, {{"architectures", {"LlamaForCausalLM"}}})),
              HasSubstr("architectures is [\"LlamaForCausalLM\"]"));
}

}  // namespace
}  // namespace krait
