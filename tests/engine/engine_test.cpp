// The engine over a random checkpoint: sessions, generation and scoring.
#include "krait/engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using test::message_of;

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    RandomCheckpoint checkpoint;
    checkpoint.d_model = 40;
    checkpoint.vocab_rows = 320;
    checkpoint.vocab_size = 300;
    write_random_checkpoint(folder_.path("model"), checkpoint);
  }

  std::unique_ptr<Engine> open(int threads = 2, int chunk = 0, std::optional<DType> dtype = {}) {
    OpenOptions options;
    options.model = folder_.path("model");
    options.backend = {"cpu", "auto", threads};
    options.chunk = chunk;
    options.dtype = dtype;
    return Engine::open(options);
  }

  static std::vector<int32_t> ids(int64_t count) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(1 + i * 37 % 290));
    return out;
  }

  static GenerateOptions greedy(int64_t tokens) {
    GenerateOptions options;
    options.max_tokens = tokens;
    options.sampling.temperature = 0;
    options.ignore_eos = true;
    return options;
  }

  test::TempFolder folder_;
};

TEST_F(EngineTest, ThreeHundredTokensGiveTheSameBytesInAnyChunksAndThreads) {
  for (const DType dtype :
       {DType::f32, DType::bf16, DType::f16, DType::q8_0, DType::q6_k, DType::q4_k, DType::q4_0}) {
    std::vector<float> first;
    for (const int chunk : {1, 7, 64, 300})
      for (const int threads : {1, 2}) {
        std::vector<float> logits;
        const auto engine = open(threads, chunk, dtype);
        score(*engine, ids(300), [&](std::span<const float> row) {
          logits.insert(logits.end(), row.begin(), row.end());
        });
        ASSERT_EQ(logits.size(), 300u * 320u);
        if (first.empty()) first = logits;
        EXPECT_EQ(std::memcmp(first.data(), logits.data(), first.size() * sizeof(float)), 0)
            << dtype_name(dtype) << ", chunk " << chunk << ", " << threads << " threads";
      }
  }
}

TEST_F(EngineTest, FeedingWithoutEveryLogitGivesTheSameLastLogits) {
  const auto engine = open(2, 7);
  const auto whole = engine->session(), stepped = engine->session();
  whole->feed(ids(50));
  for (const int32_t id : ids(50)) stepped->feed({&id, 1});
  EXPECT_TRUE(std::equal(whole->logits().begin(), whole->logits().end(), stepped->logits().begin(),
                         stepped->logits().end()));
  EXPECT_EQ(whole->position(), 50);
}

TEST_F(EngineTest, SessionsDoNotTouchEachOtherAndResetForgets) {
  const auto engine = open();
  const auto a = engine->session(), b = engine->session();
  a->feed(ids(20));
  const std::vector<float> alone(a->logits().begin(), a->logits().end());
  a->reset();
  EXPECT_TRUE(a->logits().empty());
  for (int32_t i = 0; i < 20; ++i) {  // turn by turn
    const int32_t mine = ids(20)[i], other = 5 + i;
    a->feed({&mine, 1});
    b->feed({&other, 1});
  }
  EXPECT_THAT(a->logits(), testing::ElementsAreArray(alone));
}

TEST_F(EngineTest, IdsOutsideTheEmbeddingAreRefusedBeforeAnythingIsFed) {
  const auto engine = open();
  const auto session = engine->session();
  const std::vector<int32_t> bad = {1, 2, 320};
  EXPECT_THAT(message_of<InputError>([&] { session->feed(bad); }),
              testing::HasSubstr("token id 320 at position 2: expected 0 to 319"));
  EXPECT_EQ(session->position(), 0);
}

TEST_F(EngineTest, AStoppedFeedSaysHowFarItCame) {
  const auto engine = open(1, 8);
  const auto session = engine->session();
  std::atomic<bool> stop{false};
  const auto every = [&](int64_t index, std::span<const float>) { stop = index >= 10; };
  EXPECT_EQ(session->feed(ids(40), every, &stop), 16);
  EXPECT_EQ(session->position(), 16);
}

TEST_F(EngineTest, GenerationStreamsExactlyItsText) {
  const auto engine = open();
  const auto session = engine->session();
  std::string streamed;
  GenerateOptions options;
  options.max_tokens = 60;
  options.seed = 5;
  const GenerateResult result =
      generate(*engine, *session, engine->encode_prompt("hello"), options, [&](std::string_view t) {
        streamed += t;
        return true;
      });
  EXPECT_EQ(streamed, result.text);
  EXPECT_LE(result.ids.size(), 60u);
  for (const int32_t id : result.ids) EXPECT_LT(id, engine->sampled_vocab());
}

// A Llama-style tokenizer whose every token begins with a space.
TEST_F(EngineTest, OnlyATextThatStartsFromNothingLosesItsFirstSpace) {
  nlohmann::json document = nlohmann::json::parse(R"({
    "added_tokens": [{"id": 1, "content": "<s>", "special": true, "normalized": false,
                      "single_word": false, "lstrip": false, "rstrip": false}],
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581"},
    "decoder": {"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
      {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"vocab": {"<s>": 1}, "merges": []}})");
  for (int id = 0; id < 300; ++id)
    if (id != 1) document["model"]["vocab"]["\u2581w" + std::to_string(id)] = id;
  folder_.write("model/tokenizer.json", document.dump());
  const auto engine = open();
  GenerateOptions options = greedy(3);
  options.sampling.frequency_penalty = 100;  // the model would only repeat the prompt
  const auto text_after = [&](const std::vector<int32_t>& prompt) {
    return generate(*engine, *engine->session(), prompt, options, {}).text;
  };
  EXPECT_THAT(text_after({1}), testing::MatchesRegex("w[0-9]+ w[0-9]+ w[0-9]+"));
  EXPECT_THAT(text_after({1, 7}), testing::MatchesRegex(" w[0-9]+ w[0-9]+ w[0-9]+"));
  const auto session = engine->session();
  session->feed(std::vector<int32_t>{1, 7});
  EXPECT_THAT(generate(*engine, *session, std::vector<int32_t>{1}, options, {}).text,
              testing::StartsWith(" "))
      << "a text that goes on";
}

TEST_F(EngineTest, SameSeedSameTextWhateverTheThreadsAndChunks) {
  GenerateOptions options;
  options.max_tokens = 40;
  options.seed = 11;
  options.ignore_eos = true;
  std::vector<int32_t> first;
  for (const auto& [threads, chunk] : {std::pair{1, 1}, {2, 64}, {2, 3}}) {
    const auto engine = open(threads, chunk);
    const auto session = engine->session();
    const GenerateResult result =
        generate(*engine, *session, engine->encode_prompt("a prompt of some length"), options, {});
    if (first.empty()) first = result.ids;
    EXPECT_EQ(result.ids, first);
    EXPECT_EQ(result.ids.size(), 40u);
    EXPECT_EQ(result.finish_reason, FinishReason::length);
  }
}

TEST_F(EngineTest, AStopStringEndsTheTextBeforeIt) {
  const auto engine = open();
  const auto prompt = engine->encode_prompt("hello");
  const GenerateResult whole = generate(*engine, *engine->session(), prompt, greedy(80), {});
  ASSERT_GT(whole.text.size(), 8u);
  GenerateOptions options = greedy(80);
  options.stop = {whole.text.substr(4, 3)};
  const GenerateResult cut = generate(*engine, *engine->session(), prompt, options, {});
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(options.stop[0])));
  EXPECT_EQ(cut.finish_reason, FinishReason::stop);
}

TEST_F(EngineTest, EosEndsTheTextAndIsNoPartOfIt) {
  const auto engine = open();
  GenerateOptions options = greedy(10);
  options.ignore_eos = false;
  options.sampling.logit_bias = {{engine->special().eos.at(0), 1000.0f}};
  const GenerateResult result =
      generate(*engine, *engine->session(), engine->encode_prompt("x"), options, {});
  EXPECT_EQ(result.finish_reason, FinishReason::eos);
  EXPECT_TRUE(result.ids.empty());
}

TEST_F(EngineTest, PaddingRowsAreNeverSampled) {
  const auto engine = open();
  EXPECT_LE(engine->sampled_vocab(), 300);
  GenerateOptions options = greedy(5);
  options.sampling.logit_bias = {{310, 1000.0f}};
  EXPECT_THROW(generate(*engine, *engine->session(), engine->encode_prompt("x"), options, {}),
               InputError);
}

TEST_F(EngineTest, WithoutATokenizerTheConfigSaysWhatMayBeSampled) {
  std::filesystem::remove(folder_.path("model/tokenizer.json"));
  EXPECT_EQ(open()->sampled_vocab(), 300);
}

TEST_F(EngineTest, PenaltiesLookAtWhatWasGenerated) {
  const auto engine = open();
  GenerateOptions options = greedy(10);
  options.sampling.logit_bias = {{65, 100.0f}};
  options.sampling.repeat_penalty = 1e6f;
  const GenerateResult result =
      generate(*engine, *engine->session(), engine->encode_prompt("x"), options, {});
  EXPECT_EQ(result.ids.at(0), 65);
  EXPECT_EQ(std::count(result.ids.begin(), result.ids.end(), 65), 1);
}

TEST_F(EngineTest, AnInterruptKeepsWhatWasWritten) {
  const auto engine = open();
  std::atomic<bool> interrupt{false};
  GenerateOptions options = greedy(-1);
  options.interrupt = &interrupt;
  size_t pieces = 0;
  const GenerateResult result = generate(*engine, *engine->session(), engine->encode_prompt("x"),
                                         options, [&](std::string_view) {
                                           if (++pieces == 4) interrupt = true;
                                           return true;
                                         });
  EXPECT_EQ(result.finish_reason, FinishReason::interrupted);
  EXPECT_FALSE(result.text.empty());
}

TEST_F(EngineTest, AnEmptyPromptStartsFromASpecialToken) {
  const auto engine = open();
  EXPECT_EQ(engine->encode_prompt("").size(), 1u);
}

TEST_F(EngineTest, ScoresAreLogProbabilitiesOfTheVocabulary) {
  const auto engine = open();
  const std::vector<int32_t> text = ids(12);
  std::vector<std::vector<float>> logits;
  const ScoreResult result = score(*engine, text, [&](std::span<const float> row) {
    logits.emplace_back(row.begin(), row.end());
  });
  ASSERT_EQ(result.tokens.size(), text.size());
  double nll = 0;
  for (size_t t = 1; t < text.size(); ++t) {
    double sum = 0;
    for (int32_t id = 0; id < engine->sampled_vocab(); ++id) sum += std::exp(logits[t - 1][id]);
    const double expected = logits[t - 1][text[t]] - std::log(sum);
    EXPECT_NEAR(result.tokens[t].logprob, expected, 1e-6);
    nll -= expected;
  }
  EXPECT_NEAR(result.nll, nll, 1e-5);
  EXPECT_NEAR(result.perplexity, std::exp(nll / 11), 1e-4);
  EXPECT_THROW(score(*engine, {}), InputError);
}

}  // namespace
}  // namespace krait
