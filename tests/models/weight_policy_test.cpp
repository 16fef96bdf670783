// Which matrix takes which type: by name, by width, and as the loader does it.
#include "models/weight_policy.h"

#include <vector>

#include <gtest/gtest.h>

#include "models/mixer.h"
#include "src/formats/open.h"

namespace krait {
namespace {

constexpr const char* kInProj = "layers.3.mixer.in_proj.weight";
constexpr const char* kXProj = "layers.3.mixer.x_proj.weight";
constexpr const char* kDtProj = "layers.12.mixer.dt_proj.weight";

TEST(WeightPolicy, SmallAndDecisiveMatricesStayFiner) {
  for (const DType wanted : {DType::q4_0, DType::q4_k, DType::q6_k}) {
    EXPECT_EQ(loaded_weight_type(kInProj, wanted), wanted);
    EXPECT_EQ(loaded_weight_type("layers.0.mixer.out_proj.weight", wanted), wanted);
    EXPECT_EQ(loaded_weight_type(kXProj, wanted), DType::q8_0);
    EXPECT_EQ(loaded_weight_type(kDtProj, wanted), DType::q8_0);
    EXPECT_EQ(loaded_weight_type("embedding.weight", wanted), DType::q6_k);
    EXPECT_EQ(loaded_weight_type("lm_head.weight", wanted), DType::q6_k);
  }
}

TEST(WeightPolicy, FromEightBitsOnAllAreAlike) {
  for (const DType wanted : {DType::f32, DType::f16, DType::bf16, DType::q8_0})
    for (const char* name : {kInProj, kXProj, "embedding.weight"}) {
      EXPECT_EQ(loaded_weight_type(name, wanted), wanted);
      EXPECT_EQ(stored_weight_type(name, 512, wanted), wanted);
    }
}

TEST(WeightPolicy, RowsOfFilesAreWholeBlocks) {
  EXPECT_EQ(stored_weight_type(kInProj, 768, DType::q4_k), DType::q4_k);
  EXPECT_EQ(stored_weight_type(kInProj, 800, DType::q4_k), DType::q8_0);
  EXPECT_EQ(stored_weight_type(kInProj, 800, DType::q4_0), DType::q4_0);
  EXPECT_EQ(stored_weight_type("embedding.weight", 800, DType::q4_0), DType::q8_0);
  EXPECT_EQ(stored_weight_type(kInProj, 40, DType::q8_0), DType::f16);
  EXPECT_EQ(stored_weight_type(kInProj, 40, DType::q4_k), DType::f16);
  EXPECT_EQ(stored_weight_type(kDtProj, 48, DType::q4_0), DType::f16);
  EXPECT_EQ(stored_weight_type(kDtProj, 160, DType::q4_k), DType::q8_0);
  EXPECT_EQ(stored_weight_type(kInProj, 40, DType::f32), DType::f32);
}

// A checkpoint of one matrix, whatever its name.
class OneMatrix final : public Checkpoint {
 public:
  explicit OneMatrix(DType type)
      : base_(open_checkpoint(std::string(KRAIT_TEST_GOLDEN) + "/gguf/plain.gguf")),
        bytes_(256 / dtype_info(type).block_elements * dtype_info(type).block_bytes),
        tensor_{type, {1, 256}, bytes_} {}

  const std::string& source() const noexcept override { return base_->source(); }
  std::string_view container() const noexcept override { return base_->container(); }
  const nlohmann::json& config() const noexcept override { return base_->config(); }
  const std::vector<std::string>& names() const noexcept override { return base_->names(); }
  const Tensor* find(std::string_view) const override { return &tensor_; }
  const std::string& file_of(std::string_view) const noexcept override { return source(); }
  void release(const Tensor&) const noexcept override {}

 private:
  std::unique_ptr<Checkpoint> base_;
  std::vector<std::byte> bytes_;
  Tensor tensor_;
};

DType loaded(const char* name, DType stored, std::optional<DType> wanted) {
  const OneMatrix checkpoint(stored);
  const auto backend = make_backend({"cpu", "scalar", 1});
  StateLayout layout;
  Loader loader(*backend, checkpoint, wanted, layout);
  return loader.matrix(name, {1, 256})->dtype;
}

TEST(LoaderTypes, WithoutAWishWeightsStayAsStored) {
  for (const DType stored :
       {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_k, DType::q6_k})
    for (const char* name : {kInProj, kXProj, "embedding.weight"})
      EXPECT_EQ(loaded(name, stored, {}), stored) << name << " " << dtype_name(stored);
  for (const DType stored :
       {DType::q4_1, DType::q5_0, DType::q5_1, DType::q2_k, DType::q3_k, DType::q5_k})
    EXPECT_EQ(loaded(kInProj, stored, {}), DType::q8_0) << dtype_name(stored);
  EXPECT_EQ(loaded(kInProj, DType::f64, {}), DType::f32);
}

TEST(LoaderTypes, AWishFollowsThePolicy) {
  EXPECT_EQ(loaded(kInProj, DType::f32, DType::q4_k), DType::q4_k);
  EXPECT_EQ(loaded(kXProj, DType::f32, DType::q4_k), DType::q8_0);
  EXPECT_EQ(loaded("embedding.weight", DType::bf16, DType::q4_0), DType::q6_k);
  EXPECT_EQ(loaded(kXProj, DType::q4_k, DType::f32), DType::f32);
}

}  // namespace
}  // namespace krait
