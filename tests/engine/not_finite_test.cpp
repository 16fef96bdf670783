// Numbers that are not finite: in files they are refused by name, and where a model computes them
// no text and no score comes out.
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/engine/scheduler.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using test::message_of;
using testing::AllOf, testing::HasSubstr;

constexpr int32_t kPoison = 7;  // a token id

// A random model on the disk, whose weights can be changed.
class WeightFile {
 public:
  explicit WeightFile(RandomCheckpoint checkpoint) {
    write_random_checkpoint(folder_.path("model"), checkpoint);
    std::ifstream in(folder_.path("model/model.safetensors"), std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    uint64_t header;
    std::memcpy(&header, bytes_.data(), sizeof header);
    tensors = nlohmann::json::parse(bytes_.substr(8, header));
    tensors.erase("__metadata__");
    data_ = 8 + header;
  }

  // In floats, which all tensors are to be of.
  float* values(const std::string& tensor) {
    return reinterpret_cast<float*>(bytes_.data() + data_ +
                                    tensors.at(tensor)["data_offsets"][0].get<size_t>());
  }
  int64_t count(const std::string& tensor) const {
    const auto& offsets = tensors.at(tensor)["data_offsets"];
    return (offsets[1].get<int64_t>() - offsets[0].get<int64_t>()) / 4;
  }
  void fill(const std::string& tensor, float value) {
    std::fill_n(values(tensor), count(tensor), value);
  }

  std::unique_ptr<Engine> open(std::optional<DType> dtype = std::nullopt) const {
    folder_.write("model/model.safetensors", bytes_);
    OpenOptions options;
    options.model = folder_.path("model");
    options.backend = {"cpu", "auto", 2};
    options.dtype = dtype;
    return Engine::open(options);
  }

  nlohmann::json tensors;

 private:
  test::TempFolder folder_;
  std::string bytes_;
  size_t data_ = 0;
};

RandomCheckpoint small(RandomArchitecture architecture = RandomArchitecture::mamba) {
  RandomCheckpoint checkpoint;
  checkpoint.architecture = architecture;
  checkpoint.d_model = 32;
  checkpoint.n_layer = 3;
  checkpoint.head_dim = 16;
  checkpoint.vocab_rows = 40;
  checkpoint.use_bias = architecture == RandomArchitecture::mamba;
  checkpoint.tied = false;
  return checkpoint;
}

TEST(WeightsThatAreNotFinite, AreRefusedInEveryTensorByName) {
  int refused = 0;
  for (const auto architecture : {RandomArchitecture::mamba, RandomArchitecture::mamba2}) {
    WeightFile file(small(architecture));
    for (const auto& [name, entry] : file.tensors.items())
      for (const float wrong : {NAN, -INFINITY}) {
        float& last = file.values(name)[file.count(name) - 1];
        const float right = std::exchange(last, wrong);
        auto place = entry["shape"].get<std::vector<int64_t>>();
        for (int64_t& dimension : place) --dimension;
        EXPECT_THAT(
            message_of<InputError>([&] { file.open(); }),
            HasSubstr("model: tensor " + name + " holds " + (std::isnan(wrong) ? "nan" : "-inf") +
                      " at " + to_string(place) + "; expected finite numbers"));
        last = right;
        ++refused;
      }
  }
  EXPECT_GT(refused, 60);
}

TEST(WeightsThatAreNotFinite, ADecayThatOverflowsIsRefused) {
  WeightFile file(small());
  file.values("backbone.layers.1.mixer.A_log")[16] = 89;
  EXPECT_THAT(message_of<InputError>([&] { file.open(); }),
              HasSubstr("tensor backbone.layers.1.mixer.A_log holds 89.000000 at [1, 0], whose "
                        "exponential no float32 can hold"));
}

// ---- logits ---------------------------------------------------------------------------------

// Finite weights, with which one layer overflows.
std::unique_ptr<Engine> overflowing(int layer, std::optional<DType> dtype = std::nullopt) {
  WeightFile file(small());
  const std::string name = "backbone.layers." + std::to_string(layer) + ".mixer.out_proj.weight";
  file.fill(name, dtype ? 8e6f : 3e38f);
  // In 8 bits there are no larger weights; the squares of the results overflow all the same.
  file.fill("backbone.layers." + std::to_string(layer) + ".mixer.D", 1e20f);
  return file.open(dtype);
}

std::vector<std::string> failures(Engine& engine, const std::vector<int32_t>& prompt) {
  std::vector<std::string> out;
  for (const bool looks : {false, true}) {
    GenerateOptions options;
    options.max_tokens = 3;
    if (looks) options.logprobs = 1;
    const auto session = engine.session();
    out.push_back(message_of<Failure>([&] { generate(engine, *session, prompt, options, {}); }));
    const auto other = engine.session();
    out.push_back(message_of<Failure>(
        [&] { complete(engine, *other, prompt, options, {.count = 2, .best_of = 2}, {}); }));
  }
  out.push_back(message_of<Failure>([&] { score(engine, prompt); }));
  return out;
}

TEST(LogitsThatAreNotFinite, NameTheFirstLayerThatOverflowed) {
  for (const auto dtype : {std::optional<DType>(), std::optional(DType::q8_0)})
    for (const int layer : {0, 1, 2}) {
      const auto engine = overflowing(layer, dtype);
      for (const std::string& message : failures(*engine, {1, 2, 3}))
        EXPECT_THAT(message, HasSubstr("; the model's output is not usable: layer " +
                                       std::to_string(layer) + " of 3 (from 0) is the first"));
    }
}

TEST(LogitsThatAreNotFinite, MayComeFromTheHeadAlone) {
  WeightFile file(small());
  file.fill("lm_head.weight", 3e38f);
  for (const std::string& message : failures(*file.open(), {1, 2, 3}))
    EXPECT_THAT(message, HasSubstr("the outputs of all layers are finite, those of the head"));
}

// A token whose embedding is so large that its squares overflow: all zeros after the norm, which
// would pass for logits.
std::unique_ptr<Engine> with_poison() {
  WeightFile file(small());
  std::fill_n(file.values("backbone.embeddings.weight") + kPoison * 32, 32, 1e20f);
  return file.open();
}

TEST(LogitsThatAreNotFinite, AreToldWhereTheyBegin) {
  const auto engine = with_poison();
  EXPECT_THAT(
      message_of<Failure>([&] {
        score(*engine, std::vector<int32_t>{1, 2, kPoison, 3});
      }),
      AllOf(HasSubstr("after 3 tokens the logit of token 0 is nan"), HasSubstr("layer 0 of 3")));
  const auto session = engine->session();
  session->feed(std::vector<int32_t>{1, 2});
  const Snapshot before = session->snapshot();
  session->feed({&kPoison, 1});
  EXPECT_THAT(message_of<Failure>([&] { session->logits(); }),
              HasSubstr("the embedding of token 7 is too large"));
  EXPECT_THROW(session->snapshot(), Failure);
  session->restore(before);  // and all is well again
  session->feed(std::vector<int32_t>{3});
  EXPECT_EQ(session->logits().size(), 40u);
}

TEST(LogitsThatAreNotFinite, EndTheirJobOnly) {
  const auto engine = with_poison();
  Scheduler scheduler(*engine, 3);
  std::vector<JobResult> results(4);
  for (uint64_t tag = 0; tag < results.size(); ++tag) {
    Job job;
    job.tag = tag;
    job.prompt = {1, 2, tag % 2 ? kPoison : 4, 5};
    job.completions = tag < 2 ? 1 : 3;
    job.options.max_tokens = 6;
    job.options.sampling.logit_bias = {{kPoison, -std::numeric_limits<float>::infinity()}};
    scheduler.submit(std::move(job));
  }
  while (!scheduler.idle())
    scheduler.step([&](JobResult&& result) { results[result.tag] = std::move(result); });
  for (const size_t bad : {1, 3}) {
    EXPECT_THAT(results[bad].error, AllOf(HasSubstr("after 4 tokens the logit of token 0 is nan"),
                                          HasSubstr("layer 0 of 3")));
    EXPECT_TRUE(results[bad].completions.empty());
  }
  for (const size_t good : {0, 2}) EXPECT_EQ(results[good].error, "");
  EXPECT_EQ(results[0].completions.size(), 1u);
  EXPECT_EQ(results[2].completions.size(), 3u);
}

}  // namespace
}  // namespace krait
