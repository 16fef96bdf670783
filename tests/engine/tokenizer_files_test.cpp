// Which tokenizer a model gets, and what a GGUF file says of special ids.
#include "src/engine/tokenizer_files.h"

#include <cstring>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_folder.h"

namespace krait::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string golden(const std::string& name) {
  std::stringstream bytes;
  bytes << std::ifstream(KRAIT_TEST_GOLDEN "/" + name, std::ios::binary).rdbuf();
  return bytes.str();
}

class OnlyConfig final : public Checkpoint {
 public:
  explicit OnlyConfig(json config) : config_(std::move(config)) {}
  const std::string& source() const noexcept override { return source_; }
  std::string_view container() const noexcept override { return "test"; }
  const json& config() const noexcept override { return config_; }
  const std::vector<std::string>& names() const noexcept override { return names_; }
  const Tensor* find(std::string_view) const override { return nullptr; }
  const std::string& file_of(std::string_view) const noexcept override { return source_; }
  void release(const Tensor&) const noexcept override {}

 private:
  json config_;
  std::string source_ = "the checkpoint";
  std::vector<std::string> names_;
};

const json kHuggingFace = {{"model_type", "mamba"}, {"hidden_size", 8}};
const json kMambaSsm = {{"d_model", 8}, {"ssm_cfg", json::object()}};
const json kGgufWithTokenizer = {
    {"general.architecture", "mamba"},        {"tokenizer.ggml.model", "gpt2"},
    {"tokenizer.ggml.pre", "gpt-2"},          {"tokenizer.ggml.tokens", {"a", "b", "ab"}},
    {"tokenizer.ggml.token_type", {1, 1, 1}}, {"tokenizer.ggml.merges", {"a b"}}};

class TokenizerFiles : public testing::Test {
 protected:
  // What such a model gets; warnings go to warned_.
  std::unique_ptr<Tokenizer> open(const json& config, int64_t rows = 60000) {
    ModelFiles files;
    files.path = folder_.path("model");
    files.checkpoint = std::make_unique<OnlyConfig>(config);
    files.config.embedding_rows = rows;
    OpenOptions options;
    options.tokenizer = asked_;
    options.warn = [this](const std::string& message) { warned_ += message; };
    return open_tokenizer(options, files);
  }
  std::string kind(const json& config, int64_t rows = 60000) {
    const auto tokenizer = open(config, rows);
    return tokenizer ? std::string(tokenizer->kind()) : "none";
  }
  std::string refusal() {
    return message_of<InputError>([this] { open(kHuggingFace); });
  }

  const std::string json_ = golden("tokenizer/small/tokenizer.json");
  const std::string model_ = golden("tokenizer/sentencepiece/bpe.model");
  TempFolder folder_;
  const std::string weights_ = folder_.write("model/weights", "");
  ScopedVariable hub_{"HF_HUB_CACHE", folder_.path("hub")};
  std::string asked_;
  std::string warned_;
};

TEST_F(TokenizerFiles, NothingIsThere) {
  EXPECT_EQ(kind(kHuggingFace), "none");
  EXPECT_EQ(kind(kHuggingFace, 256), "bytes");
  EXPECT_EQ(kind(kHuggingFace, 257), "none");
}

TEST_F(TokenizerFiles, TheOneInsideComesFirst) {
  folder_.write("model/tokenizer.model", model_);
  EXPECT_EQ(open(kGgufWithTokenizer)->vocab_size(), 3);
}

TEST_F(TokenizerFiles, JsonBeforeSentencepieceBesideTheWeights) {
  folder_.write("model/tokenizer.model", model_);
  EXPECT_EQ(kind(kHuggingFace), "sentencepiece BPE");
  folder_.write("model/tokenizer.json", json_);
  EXPECT_EQ(kind(kHuggingFace), "byte-level BPE");
  EXPECT_EQ(kind(kHuggingFace, 256), "byte-level BPE");
}

TEST_F(TokenizerFiles, SentencepieceUnderNamesOfMistral) {
  folder_.write("model/mistral_instruct_tokenizer_240323.model.v3", model_);
  EXPECT_EQ(kind(kHuggingFace), "sentencepiece BPE");
  folder_.write("model/tokenizer.model.v3", model_);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("several tokenizers"), HasSubstr("--tokenizer")));
  folder_.write("model/tokenizer.model", model_);
  EXPECT_EQ(kind(kHuggingFace), "sentencepiece BPE");
}

TEST_F(TokenizerFiles, TheOneAskedForWins) {
  folder_.write("model/tokenizer.json", json_);
  asked_ = "bytes";
  EXPECT_EQ(kind(kGgufWithTokenizer), "bytes");
  asked_ = folder_.write("other/tokenizer.model", model_);
  EXPECT_EQ(kind(kGgufWithTokenizer), "sentencepiece BPE");
  asked_ = folder_.path("other");
  EXPECT_EQ(kind(kGgufWithTokenizer), "sentencepiece BPE");
  asked_ = folder_.path("model/tokenizer.json");
  EXPECT_EQ(open(kGgufWithTokenizer)->vocab_size(), 904);
}

TEST_F(TokenizerFiles, FilesOfOtherNamesAreKnownByTheirBytes) {
  asked_ = folder_.write("a", json_);
  EXPECT_EQ(kind(kHuggingFace), "byte-level BPE");
  asked_ = folder_.write("b", model_);
  EXPECT_EQ(kind(kHuggingFace), "sentencepiece BPE");
  asked_ = folder_.write("c", golden("gguf/plain.gguf"));
  EXPECT_THAT(refusal(), HasSubstr("holds no tokenizer"));
  asked_ = folder_.write("d.gguf", "");
  EXPECT_THAT(refusal(), HasSubstr("d.gguf"));
}

TEST_F(TokenizerFiles, NamesWhatIsMissing) {
  asked_ = folder_.path("nowhere");
  EXPECT_THAT(refusal(), HasSubstr(asked_));
  folder_.write("empty/readme", "");
  asked_ = folder_.path("empty");
  EXPECT_THAT(refusal(), AllOf(HasSubstr(asked_), HasSubstr("tokenizer.json")));
}

TEST_F(TokenizerFiles, MambaSsmTakesGptNeoxFromTheCacheAndSaysSo) {
  EXPECT_EQ(kind(kMambaSsm), "none");
  const std::string snapshot = "/snapshots/abc/tokenizer.json";
  const auto converted = folder_.write("hub/models--state-spaces--mamba-130m-hf" + snapshot, json_);
  EXPECT_EQ(kind(kMambaSsm), "byte-level BPE");
  EXPECT_THAT(warned_, HasSubstr(converted));
  warned_.clear();
  const auto own = folder_.write("hub/models--EleutherAI--gpt-neox-20b" + snapshot, json_);
  EXPECT_EQ(kind(kMambaSsm), "byte-level BPE");
  EXPECT_THAT(warned_, HasSubstr(own));
  warned_.clear();
  EXPECT_EQ(kind(kMambaSsm, 50276), "none") << "too few rows";
  for (const json& other : {kHuggingFace, json{{"d_model", 8}, {"model_type", "t5"}}})
    EXPECT_EQ(kind(other), "none") << "not mamba_ssm's";
  folder_.write("model/tokenizer.model", model_);
  EXPECT_EQ(kind(kMambaSsm), "sentencepiece BPE") << "its own";
  EXPECT_EQ(warned_, "");
}

TEST_F(TokenizerFiles, ACacheInDisorderIsPassedOver) {
  for (const char* commit : {"abc", "def"})
    folder_.write(
        std::string("hub/models--EleutherAI--gpt-neox-20b/snapshots/") + commit + "/tokenizer.json",
        json_);
  EXPECT_EQ(kind(kMambaSsm), "none");
}

SpecialIds special_of(const std::string& gguf_bytes) {
  const TempFolder folder;
  OpenOptions options;
  options.model = folder.write("model.gguf", gguf_bytes);
  return open_model_files(options).special;
}

// plain.gguf with another name and value for its bos_token_id.
std::string with_special(const std::string& key, uint32_t value) {
  std::string bytes = golden("gguf/plain.gguf");
  const std::string old = "tokenizer.ggml.bos_token_id";
  const size_t at = bytes.find(old);
  EXPECT_TRUE(at != std::string::npos && key.size() == old.size());
  bytes.replace(at, key.size(), key);
  std::memcpy(bytes.data() + at + key.size() + sizeof(int32_t), &value, sizeof value);
  return bytes;
}

TEST(GgufSpecialIds, AreThoseOfItsKeys) {
  EXPECT_THAT(special_of(golden("gguf/plain.gguf")).eos, ElementsAre(0));
  EXPECT_EQ(special_of(with_special("tokenizer.ggml.bos_token_id", 7)).bos, 7);
  const SpecialIds special = special_of(with_special("tokenizer.ggml.eot_token_id", 9));
  EXPECT_THAT(special.eos, ElementsAre(0, 9));
  EXPECT_EQ(special.bos, -1);
  EXPECT_THAT(special_of(with_special("tokenizer.ggml.eot_token_id", 0)).eos, ElementsAre(0));
}

TEST(GgufSpecialIds, OutsideTheEmbeddingAreRefused) {
  EXPECT_THAT(
      message_of<InputError>([] { special_of(with_special("tokenizer.ggml.eot_token_id", 67)); }),
      AllOf(HasSubstr("tokenizer.ggml.eot_token_id"), HasSubstr("0 to 66")));
}

}  // namespace
}  // namespace krait::test
