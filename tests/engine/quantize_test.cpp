// Models written as GGUF: the same logits, the types asked for, and what is refused.
#include "krait/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/weight_policy.h"
#include "src/base/quantize_blocks.h"
#include "src/formats/open.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;
using testing::HasSubstr;
using testing::IsEmpty;

const fs::path kModels = fs::path(KRAIT_TEST_GOLDEN) / "models";
constexpr DType kTypes[] = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0,
                            DType::q4_0, DType::q4_k, DType::q6_k};

OpenOptions open_options(const std::string& model, std::vector<std::string>* warnings = nullptr,
                         int threads = 2) {
  OpenOptions open;
  open.model = model;
  open.backend = {"cpu", "auto", threads};
  if (warnings) open.warn = [=](const std::string& text) { warnings->push_back(text); };
  return open;
}

QuantizeResult convert(const std::string& model, const std::string& out, DType type,
                       std::vector<std::string>* warnings = nullptr, int threads = 2) {
  return *quantize(open_options(model, warnings, threads), out, {.type = type});
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> logits_of(const std::string& model) {
  const auto engine = Engine::open(open_options(model));
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i) ids.push_back(i * 7 % 48);
  std::vector<float> all;
  engine->session()->feed(ids, [&](int64_t, std::span<const float> logits) {
    all.insert(all.end(), logits.begin(), logits.end());
  });
  return all;
}

std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values(tensor.elements());
  copy_to_f32(tensor, 0, tensor.elements(), values.data(), "");
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// ---- the same model -------------------------------------------------------------------------

class QuantizeModels : public testing::TestWithParam<const char*> {};

TEST_P(QuantizeModels, LogitsOfTheF32FileAreTheSameBits) {
  const TempFolder folder;
  const std::string model = (kModels / GetParam()).string(), out = folder.path("x.gguf");
  convert(model, out, DType::f32);
  EXPECT_TRUE(same_bits(logits_of(out), logits_of(model)));
  convert(out, folder.path("again.gguf"), DType::f32);
  EXPECT_EQ(read(folder.path("again.gguf")).size(), read(out).size());
  EXPECT_TRUE(same_bits(logits_of(folder.path("again.gguf")), logits_of(model)));
}

TEST_P(QuantizeModels, ConfigComesBack) {
  const TempFolder folder;
  const auto original = open_model_files(open_options((kModels / GetParam()).string()));
  convert(original.path, folder.path("x.gguf"), DType::f32);
  std::vector<std::string> warnings;
  const auto written = open_model_files(open_options(folder.path("x.gguf"), &warnings));
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(written.config.architecture, original.config.architecture);
  EXPECT_EQ(written.config.vocab_size, original.config.vocab_size);
  EXPECT_EQ(written.config.embedding_rows, original.config.embedding_rows);
  EXPECT_EQ(written.config.norm_eps, original.config.norm_eps);
  EXPECT_EQ(written.config.tied_head, original.config.tied_head);
  ASSERT_EQ(written.config.layers.size(), original.config.layers.size());
  if (const auto* c = std::get_if<Mamba1Config>(&original.config.layers[0])) {
    EXPECT_EQ(std::get<Mamba1Config>(written.config.layers[0]).dt_b_c_rms_eps, c->dt_b_c_rms_eps);
  } else {
    EXPECT_EQ(std::get<Mamba2Config>(written.config.layers[0]).n_groups,
              std::get<Mamba2Config>(original.config.layers[0]).n_groups);
  }
}

// Falcon's epsilon differs from that of the norms; codestral has four groups; no_conv_bias lacks a
// tensor that the format wants; one_head has shapes [1, 1]; native_mamba1 has rows of padding.
INSTANTIATE_TEST_SUITE_P(Golden, QuantizeModels,
                         testing::Values("plain", "no_conv_bias", "shards", "falcon", "mamba2",
                                         "codestral", "mamba2_one_head", "native_mamba1"));

// ---- types ----------------------------------------------------------------------------------

class QuantizeTypes : public testing::TestWithParam<DType> {
 protected:
  QuantizeTypes() {
    RandomCheckpoint checkpoint;
    checkpoint.d_model = 256;
    checkpoint.n_layer = 1;
    checkpoint.vocab_rows = 300;
    checkpoint.vocab_size = 290;
    checkpoint.tied = false;
    write_random_checkpoint(folder_.path("model"), checkpoint);
  }
  TempFolder folder_;
};

TEST_P(QuantizeTypes, EveryTensorHoldsTheValuesOfItsType) {
  const std::string out = folder_.path("x.gguf");
  const QuantizeResult result = convert(folder_.path("model"), out, GetParam());
  const auto original = open_checkpoint(folder_.path("model")), written = open_checkpoint(out);
  std::map<std::string, int64_t> bytes;
  const std::pair<const char*, const char*> names[] = {
      {"embedding.weight", "token_embd.weight"},
      {"lm_head.weight", "output.weight"},
      {"layers.0.mixer.in_proj.weight", "blk.0.ssm_in.weight"},
      {"layers.0.mixer.x_proj.weight", "blk.0.ssm_x.weight"},
      {"layers.0.mixer.dt_proj.weight", "blk.0.ssm_dt.weight"},
      {"layers.0.mixer.out_proj.weight", "blk.0.ssm_out.weight"}};
  std::set<std::string> matrices;
  for (const auto& [canonical, name] : names) {
    matrices.insert(name);
    std::string source = canonical;
    if (source.starts_with("embedding")) source = "backbone.embeddings.weight";
    if (source.starts_with("layers")) source = "backbone." + source;
    const Tensor& from = *original->find(source);
    const Tensor& to = *written->find(name);
    EXPECT_EQ(to.shape, from.shape) << name;
    ASSERT_EQ(to.dtype, stored_weight_type(canonical, from.shape.back(), GetParam())) << name;
    const DTypeInfo& info = dtype_info(to.dtype);
    std::vector<float> expected = values_of(from);
    for (size_t i = 0; i < expected.size(); i += info.block_elements) {
      if (to.dtype == DType::f16) expected[i] = f32_from_f16(f16_from_f32(expected[i]));
      if (to.dtype == DType::bf16) expected[i] = f32_from_bf16(bf16_from_f32(expected[i]));
      if (!is_block_type(to.dtype)) continue;
      std::byte block[256];
      quantize_block(to.dtype, expected.data() + i, block);
      dequantize_block(to.dtype, block, expected.data() + i);
    }
    EXPECT_TRUE(same_bits(values_of(to), expected)) << name;
  }
  for (const std::string& name : written->names()) {
    const Tensor& tensor = *written->find(name);
    bytes[std::string(dtype_name(tensor.dtype))] += std::ssize(tensor.data);
    EXPECT_TRUE(matrices.contains(name) || tensor.dtype == DType::f32) << name;
  }
  EXPECT_EQ(result.bytes_by_dtype, bytes);
  EXPECT_EQ(result.tensors, std::ssize(written->names()));
  for (const float logit : logits_of(out)) ASSERT_TRUE(std::isfinite(logit));
}

TEST_P(QuantizeTypes, AnyThreadsGiveTheSameBytes) {
  convert(folder_.path("model"), folder_.path("1.gguf"), GetParam(), nullptr, 1);
  convert(folder_.path("model"), folder_.path("3.gguf"), GetParam(), nullptr, 3);
  EXPECT_EQ(read(folder_.path("1.gguf")), read(folder_.path("3.gguf")));
}

// Weights that have the type already are not rounded a second time.
TEST_P(QuantizeTypes, TheSameTypeAgainKeepsTheBytes) {
  std::vector<std::string> warnings;
  convert(folder_.path("model"), folder_.path("once.gguf"), GetParam());
  convert(folder_.path("once.gguf"), folder_.path("twice.gguf"), GetParam(), &warnings);
  const auto once = open_checkpoint(folder_.path("once.gguf"));
  const auto twice = open_checkpoint(folder_.path("twice.gguf"));
  ASSERT_EQ(once->names(), twice->names());
  for (const std::string& name : once->names())
    EXPECT_TRUE(std::ranges::equal(once->find(name)->data, twice->find(name)->data)) << name;
  for (const std::string& warning : warnings) EXPECT_THAT(warning, HasSubstr("tokenizer"));
}

INSTANTIATE_TEST_SUITE_P(All, QuantizeTypes, testing::ValuesIn(kTypes),
                         [](const auto& tested) { return std::string(dtype_name(tested.param)); });

}  // namespace
}  // namespace krait
