// Mamba-2 in GGUF files: shapes that only this container has, and what the metadata may say.
#include "tests/models/gguf_support.h"

namespace krait {
namespace {

using namespace test;  // NOLINT: the checkpoint to edit, and what is asked of it
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kFolder = std::string(KRAIT_TEST_GOLDEN) + "/gguf/";
const std::string kOneGroup = kFolder + "mamba2.gguf";
const std::string kFourGroups = kFolder + "codestral.gguf";

Mamba2Config layer_of(const Checkpoint& checkpoint, std::vector<std::string>* warnings = nullptr) {
  return std::get<Mamba2Config>(config_of(checkpoint, warnings).layers[1]);
}

TEST(GgufMamba2, ReadsShapesAndMetadata) {
  const auto checkpoint = open_checkpoint(kFourGroups);
  std::vector<std::string> warnings;
  const ModelConfig config = config_of(*checkpoint, &warnings);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(config.architecture, "mamba2");
  EXPECT_EQ(config.d_model, 32);
  EXPECT_FALSE(config.tied_head);
  const auto& layer = std::get<Mamba2Config>(config.layers[1]);
  EXPECT_EQ(layer.n_heads, 8);
  EXPECT_EQ(layer.head_dim, 8);
  EXPECT_EQ(layer.n_groups, 4);
  EXPECT_EQ(layer.d_state, 10);
  EXPECT_EQ(layer.d_conv, 4);
  EXPECT_TRUE(layer.gated_norm);
  EXPECT_FALSE(layer.norm_before_gate);
  EXPECT_EQ(layer.norm_eps, 1e-5f);
}

TEST(GgufMamba2, TensorsWinOverMetadataAndEachContradictionIsNamed) {
  for (const char* key : {"embedding_length", "vocab_size", "ssm.inner_size", "ssm.state_size",
                          "ssm.conv_kernel", "ssm.time_step_rank", "ssm.group_count"}) {
    EditedCheckpoint checkpoint(kFourGroups);
    checkpoint.metadata()[std::string("mamba2.") + key] = 5;
    std::vector<std::string> warnings;
    EXPECT_EQ(layer_of(checkpoint, &warnings).n_groups, 4);
    EXPECT_THAT(warnings, ElementsAre(AllOf(HasSubstr(std::string("mamba2.") + key + " is 5"),
                                            HasSubstr("going by the tensors"))));
  }
}

TEST(GgufMamba2, MissingTensorsHaveTheNamesOfTheFile) {
  for (const char* name : {"token_embd.weight", "blk.1.ssm_in.weight", "blk.0.ssm_a", "blk.1.ssm_d",
                           "blk.0.ssm_conv1d.weight", "blk.0.ssm_dt.bias", "blk.1.ssm_norm.weight",
                           "blk.0.ssm_out.weight"}) {
    EditedCheckpoint checkpoint(kFourGroups);
    checkpoint.remove(name);
    EXPECT_THAT(refusal(checkpoint),
                HasSubstr(std::string("tensor ") + name + " is missing; expected shape"));
  }
}

TEST(GgufMamba2, WrongShapesAreNamed) {
  struct Case {
    const char* name;
    Shape shape;
    const char* expected;
  };
  const Case cases[] = {
      {"blk.1.ssm_a", {8}, "[8]; expected [any, 1]"},
      {"blk.1.ssm_a", {8, 2}, "[8, 2]; expected [any, 1]"},
      {"blk.1.ssm_d", {8}, "[8]; expected [8, 1]"},
      {"blk.0.ssm_d", {9, 1}, "[9, 1]; expected [8, 1]"},
      {"blk.0.ssm_dt.bias", {8, 1}, "[8, 1]; expected [8]"},
      {"blk.1.ssm_norm.weight", {4, 15}, "[4, 15]; expected [4, 16]"},
      {"blk.1.ssm_norm.weight", {4, 17}, "[4, 17]; expected [4, 16]"},
      {"blk.1.ssm_norm.weight", {64}, "[64]; expected [4, any]"},
      {"blk.0.ssm_conv1d.weight", {144, 1, 4}, "[144, 1, 4]; expected [any, any]"}};
  for (const Case& c : cases) {
    EditedCheckpoint checkpoint(kFourGroups);
    checkpoint.set(c.name, c.shape, std::vector<float>(element_count(c.shape), -1.0f));
    EXPECT_THAT(refusal(checkpoint),
                HasSubstr(std::string("tensor ") + c.name + " has shape " + c.expected));
  }
}

TEST(GgufMamba2, GroupsThatDoNotDivideAreRefused) {
  EditedCheckpoint checkpoint(kFourGroups);
  checkpoint.set("blk.0.ssm_norm.weight", {16, 4}, std::vector<float>(64, 1.0f));
  EXPECT_THAT(refusal(checkpoint), HasSubstr("40 channels each for B and C"));
  checkpoint.set("blk.0.ssm_norm.weight", {5, 13}, std::vector<float>(65, 1.0f));
  EXPECT_THAT(refusal(checkpoint), HasSubstr("n_groups is 5; expected a divisor of the 8 heads"));
}

// As programs write it that drop outermost dimensions of 1.
TEST(GgufMamba2, ANormOfOneGroupMayBeAVector) {
  EditedCheckpoint checkpoint(kOneGroup);
  const std::vector<float> expected = logits_of(checkpoint);
  for (const char* name : {"blk.0.ssm_norm.weight", "blk.1.ssm_norm.weight"})
    checkpoint.set(name, {64}, checkpoint.values(name));
  std::vector<std::string> warnings;
  EXPECT_EQ(layer_of(checkpoint, &warnings).n_groups, 1);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_TRUE(same_bits(logits_of(checkpoint), expected));
}

TEST(GgufMamba2, AnAAboveZeroIsRefused) {
  EditedCheckpoint checkpoint(kOneGroup);
  checkpoint.set("blk.1.ssm_a", {4, 1}, {-1.0f, 0.0f, 0.5f, -1.0f});
  EXPECT_THAT(message_of<InputError>([&] { logits_of(checkpoint); }),
              AllOf(HasSubstr("tensor blk.1.ssm_a holds 0.5"), HasSubstr("never above zero")));
}

TEST(GgufMamba2, OtherArchitecturesAreNamed) {
  EditedCheckpoint checkpoint(kOneGroup);
  checkpoint.metadata()["general.architecture"] = "jamba";
  EXPECT_THAT(refusal(checkpoint), HasSubstr("is \"jamba\"; expected \"mamba\" or \"mamba2\""));
}

}  // namespace
}  // namespace krait
