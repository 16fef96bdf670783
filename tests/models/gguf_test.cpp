// Models in GGUF files: the same logits as from other containers, and what the metadata may say.
#include <cmath>

#include "tests/models/gguf_support.h"

namespace krait {
namespace {

using nlohmann::json;
using namespace test;  // NOLINT: the checkpoint to edit, and what is asked of it
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kGolden = KRAIT_TEST_GOLDEN;
const std::string kPlain = kGolden + "/gguf/plain.gguf";

class GgufGolden : public testing::TestWithParam<const char*> {};

// The converter computes -exp(A_log) with numpy, krait with the C library: A may differ in its last
// bit, which the models amplify to 4e-6 of the largest logit. With the A of this machine put in,
// every bit of the logits must be the same.
TEST_P(GgufGolden, GivesTheLogitsOfTheSameModelInSafetensors) {
  const std::string model = GetParam();
  const auto safetensors = open_checkpoint(kGolden + "/models/" + model);
  const std::vector<float> expected = logits_of(*safetensors);
  EditedCheckpoint gguf(kGolden + "/gguf/" + model + ".gguf");
  if (model == "falcon") gguf.metadata()["krait.mixer_rms_eps"] = 0.05f;
  EXPECT_LE(relative_error(logits_of(gguf), expected), 1e-5);
  for (const char* layer : {"0", "1"}) {
    const std::string name = std::string("blk.") + layer + ".ssm_a";
    const std::string start = model == "codestral" ? "model." : "";
    const Tensor& a_log = *safetensors->find(start + "backbone.layers." + layer + ".mixer.A_log");
    std::vector<float> a(a_log.elements());
    copy_to_f32(a_log, 0, a_log.elements(), a.data(), name);
    for (float& value : a) value = -std::exp(value);
    const std::vector<float> stored = gguf.values(name);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_LE(std::fabs(a[i] - stored[i]), 3e-7f * std::fabs(a[i]));
    gguf.set(name, gguf.find(name)->shape, a);
  }
  EXPECT_TRUE(same_bits(logits_of(gguf), expected));
}

INSTANTIATE_TEST_SUITE_P(Models, GgufGolden,
                         testing::Values("plain", "falcon", "mamba2", "codestral"));

TEST(GgufModel, BlockTypesGiveTheLogitsOfTheirValues) {
  const std::string path = kGolden + "/gguf/quantised.gguf";
  const auto quantised = open_checkpoint(path);
  EditedCheckpoint plain(path);
  int changed = 0;
  for (const std::string& name : quantised->names())
    if (is_block_type(quantised->find(name)->dtype)) {
      plain.set(name, quantised->find(name)->shape, plain.values(name));
      ++changed;
    }
  EXPECT_EQ(changed, 6);
  const std::vector<float> expected = logits_of(plain);
  for (const float logit : expected) ASSERT_TRUE(std::isfinite(logit));
  EXPECT_TRUE(same_bits(logits_of(*quantised, DType::f32), expected));
  EXPECT_LE(relative_error(logits_of(*quantised), expected), 0.05);  // q8_0
}

TEST(GgufModel, BlockTypesAreLoadedAsQ8) {
  const auto checkpoint = open_checkpoint(kGolden + "/gguf/quantised.gguf");
  const auto backend = make_backend({"cpu", "auto", 1});
  const auto model = load_model(*backend, *checkpoint, config_of(*checkpoint), std::nullopt);
  EXPECT_EQ(model->weight_dtype(), DType::q8_0);
  EXPECT_FALSE(model->config().tied_head);
}

TEST(GgufConfig, ReadsShapesAndMetadata) {
  const auto checkpoint = open_checkpoint(kPlain);
  std::vector<std::string> warnings;
  const ModelConfig config = config_of(*checkpoint, &warnings);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(config.architecture, "mamba");
  EXPECT_EQ(config.d_model, 36);
  EXPECT_EQ(config.embedding_rows, 67);
  EXPECT_EQ(config.vocab_size, 67);
  EXPECT_EQ(config.norm_eps, 1e-5f);
  EXPECT_TRUE(config.tied_head);
  ASSERT_EQ(config.layers.size(), 2);
  const auto& layer = std::get<Mamba1Config>(config.layers[1]);
  EXPECT_EQ(layer.d_inner, 72);
  EXPECT_EQ(layer.d_state, 16);
  EXPECT_EQ(layer.d_conv, 4);
  EXPECT_EQ(layer.dt_rank, 3);
}

TEST(GgufConfig, TensorsWinOverMetadataAndEachContradictionIsNamed) {
  for (const char* key : {"embedding_length", "vocab_size", "ssm.inner_size", "ssm.state_size",
                          "ssm.conv_kernel", "ssm.time_step_rank"}) {
    EditedCheckpoint checkpoint(kPlain);
    checkpoint.metadata()[std::string("mamba.") + key] = 5;
    std::vector<std::string> warnings;
    EXPECT_EQ(config_of(checkpoint, &warnings).d_model, 36);
    EXPECT_THAT(warnings, ElementsAre(AllOf(HasSubstr(std::string("mamba.") + key + " is 5"),
                                            HasSubstr("going by the tensors"))));
    checkpoint.metadata()[std::string("mamba.") + key] = "five";
    EXPECT_THAT(refusal(checkpoint), HasSubstr("is a string; expected an integer"));
  }
}

TEST(GgufConfig, LayersMustBeAsManyAsTheMetadataSay) {
  EditedCheckpoint checkpoint(kPlain);
  checkpoint.metadata()["mamba.block_count"] = 3;
  EXPECT_THAT(refusal(checkpoint), HasSubstr("mamba.block_count is 3, but the tensors have 2"));
}

TEST(GgufConfig, PaddingTokensAreNoVocabulary) {
  EditedCheckpoint checkpoint(kPlain);
  json tokens = json::array();
  for (int i = 0; i < 67; ++i) tokens.push_back("t" + std::to_string(i));
  tokens[64] = "[PAD99]";  // of another index: text
  tokens[65] = "[PAD65]";
  tokens[66] = "[PAD66]";
  checkpoint.metadata()["tokenizer.ggml.tokens"] = tokens;
  EXPECT_EQ(config_of(checkpoint).vocab_size, 65);
  tokens.push_back("more");
  checkpoint.metadata()["tokenizer.ggml.tokens"] = tokens;
  EXPECT_THAT(refusal(checkpoint), HasSubstr("has 68 tokens, but the embedding has 67 rows"));
  checkpoint.metadata()["tokenizer.ggml.tokens"] = {"[PAD0]"};
  EXPECT_THAT(refusal(checkpoint), HasSubstr("no token but padding"));
  checkpoint.metadata()["tokenizer.ggml.tokens"] = 3;
  EXPECT_THAT(refusal(checkpoint), HasSubstr("expected an array"));
}

TEST(GgufConfig, OtherArchitecturesAreNamed) {
  EditedCheckpoint checkpoint(kPlain);
  checkpoint.metadata()["general.architecture"] = "llama";
  EXPECT_THAT(refusal(checkpoint), AllOf(HasSubstr(kPlain), HasSubstr("is \"llama\"; expected")));
}

TEST(GgufConfig, FalconIsAFlagAndAnEpsilon) {
  EditedCheckpoint checkpoint(kPlain);
  json& flag = checkpoint.metadata()["mamba.ssm.dt_b_c_rms"];
  const auto eps = [&] { return std::get<Mamba1Config>(config_of(checkpoint).layers[1]); };
  flag = false;
  EXPECT_EQ(eps().dt_b_c_rms_eps, std::nullopt);
  flag = true;
  EXPECT_EQ(config_of(checkpoint).architecture, "falcon_mamba");
  EXPECT_EQ(eps().dt_b_c_rms_eps, 1e-5f);  // the norms', as in llama.cpp
  checkpoint.metadata()["krait.mixer_rms_eps"] = 1e-6f;
  EXPECT_EQ(eps().dt_b_c_rms_eps, 1e-6f);
  checkpoint.metadata()["krait.mixer_rms_eps"] = 0;
  EXPECT_THAT(refusal(checkpoint), HasSubstr("krait.mixer_rms_eps is 0; expected a number in"));
  flag = 1;
  EXPECT_THAT(refusal(checkpoint), HasSubstr("is 1; expected true or false"));
}

TEST(GgufConfig, VocabularySizeOfKraitOnlyLowers) {
  EditedCheckpoint checkpoint(kPlain);
  json& said = checkpoint.metadata()["krait.vocab_size"];
  said = 60;
  EXPECT_EQ(config_of(checkpoint).vocab_size, 60);
  checkpoint.metadata()["tokenizer.ggml.tokens"] = std::vector<std::string>(58, "t");
  EXPECT_EQ(config_of(checkpoint).vocab_size, 58);
  for (const int wrong : {0, 68}) {
    said = wrong;
    EXPECT_THAT(refusal(checkpoint), HasSubstr("krait.vocab_size is " + std::to_string(wrong)));
  }
}

TEST(GgufConfig, EpsilonIsNeededAndSmall) {
  EditedCheckpoint checkpoint(kPlain);
  json& eps = checkpoint.metadata()["mamba.attention.layer_norm_rms_epsilon"];
  for (const json& wrong : {json(0.0), json(1.5), json(-1e-5), json("1e-5"), json(NAN)}) {
    eps = wrong;
    EXPECT_THAT(refusal(checkpoint), HasSubstr("expected a number in (0, 1)"));
  }
  checkpoint.metadata().erase("mamba.attention.layer_norm_rms_epsilon");
  EXPECT_THAT(refusal(checkpoint),
              HasSubstr("no metadata key mamba.attention.layer_norm_rms_epsilon"));
}

TEST(GgufConfig, MissingTensorsHaveTheNamesOfTheFile) {
  for (const char* name : {"token_embd.weight", "blk.1.ssm_in.weight", "blk.0.ssm_a", "blk.1.ssm_d",
                           "blk.0.ssm_conv1d.weight", "blk.0.ssm_x.weight", "blk.1.ssm_dt.weight",
                           "blk.0.ssm_dt.bias", "blk.0.ssm_out.weight"}) {
    EditedCheckpoint checkpoint(kPlain);
    checkpoint.remove(name);
    EXPECT_THAT(refusal(checkpoint),
                HasSubstr(std::string("tensor ") + name + " is missing; expected shape"));
  }
}

TEST(GgufConfig, VocabularyFilesAreNoModels) {
  EditedCheckpoint checkpoint(kPlain);
  for (const std::string& name : std::vector(checkpoint.names())) checkpoint.remove(name);
  EXPECT_THAT(refusal(checkpoint), HasSubstr("holds no tensors, as files with only a vocabulary"));
}

TEST(GgufModel, AnAAboveZeroIsRefused) {
  EditedCheckpoint checkpoint(kPlain);
  std::vector<float> a = checkpoint.values("blk.1.ssm_a");
  a[5] = 0.0f;  // no decay: legal
  checkpoint.set("blk.1.ssm_a", {72, 16}, a);
  EXPECT_NO_THROW(logits_of(checkpoint));
  for (const auto& [wrong, why] : {std::pair(1.5f, "never above zero"), std::pair(NAN, "finite")}) {
    a[5] = wrong;
    checkpoint.set("blk.1.ssm_a", {72, 16}, a);
    EXPECT_THAT(message_of<InputError>([&] { logits_of(checkpoint); }),
                AllOf(HasSubstr("tensor blk.1.ssm_a holds"), HasSubstr(why)));
  }
}

}  // namespace
}  // namespace krait
