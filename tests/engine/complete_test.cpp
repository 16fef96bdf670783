// Generation that is cut and resumed, and several completions of one prompt.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/engine.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using test::message_of;
using testing::HasSubstr;

class CompleteTest : public testing::Test {
 protected:
  CompleteTest() {
    write_random_checkpoint(folder_.path("model"), {});
    OpenOptions options;
    options.model = folder_.path("model");
    options.backend = {"cpu", "auto", 2};
    engine_ = Engine::open(options);
  }

  // Wild, so that bytes of unfinished characters are common, and with a memory.
  static GenerateOptions wild(int64_t tokens) {
    GenerateOptions options;
    options.max_tokens = tokens;
    options.sampling.temperature = 2;
    options.sampling.top_k = 0;
    options.sampling.top_p = 1;
    options.sampling.min_p = 0;
    options.sampling.repeat_penalty = 1.5f;
    options.sampling.frequency_penalty = 0.3f;
    options.sampling.penalty_last_n = 20;
    options.seed = 4;
    options.ignore_eos = true;
    return options;
  }

  GenerateResult whole(const GenerateOptions& options) {
    return generate(*engine_, *engine_->session(), prompt(), options, {});
  }
  std::vector<int32_t> prompt() const { return engine_->encode_prompt("The old king"); }

  test::TempFolder folder_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(CompleteTest, AResumedTextIsTheTextNeverCut) {
  for (const int32_t last_n : {20, -1}) {
    GenerateOptions options = wild(120);
    options.sampling.penalty_last_n = last_n;
    const GenerateResult expected = whole(options);
    ASSERT_NE(expected.text.find("\xef\xbf\xbd"), std::string::npos);  // unfinished characters
    for (int64_t cut = 0; cut <= 120; ++cut) {
      const auto session = engine_->session();
      options.resumable = true;
      options.max_tokens = cut;
      const GenerateResult first = generate(*engine_, *session, prompt(), options, {});
      const auto other = engine_->session();
      other->restore(session->snapshot());
      options.resumable = false;
      options.max_tokens = 120 - cut;
      const GenerateResult second = generate(*engine_, *other, {}, options, {});
      std::vector<int32_t> ids = first.ids;
      ids.insert(ids.end(), second.ids.begin(), second.ids.end());
      ASSERT_EQ(ids, expected.ids) << "cut after " << cut;
      ASSERT_EQ(first.text + second.text, expected.text) << "cut after " << cut;
    }
  }
}

TEST_F(CompleteTest, AResumableSessionHoldsAllThatWasGenerated) {
  GenerateOptions options = wild(10);
  options.resumable = true;
  options.stop = {whole(wild(10)).text.substr(5, 1)};
  const auto session = engine_->session();
  const GenerateResult result = generate(*engine_, *session, prompt(), options, {});
  EXPECT_EQ(result.finish_reason, FinishReason::stop);
  std::vector<int32_t> expected = prompt();
  expected.insert(expected.end(), result.ids.begin(), result.ids.end());
  EXPECT_THAT(session->ids(), testing::ElementsAreArray(expected));
  EXPECT_FALSE(session->logits().empty());
}

TEST_F(CompleteTest, WithoutAnythingToGoOnFromAPromptIsNeeded) {
  EXPECT_THAT(
      message_of<InputError>([&] { generate(*engine_, *engine_->session(), {}, wild(3), {}); }),
      HasSubstr("the prompt has no tokens"));
  EXPECT_THROW(complete(*engine_, *engine_->session(), {}, wild(3), {1, 1}, {}), InputError);
  EXPECT_THROW(complete(*engine_, *engine_->session(), {}, wild(3), {2, 2}, {}), InputError);
}

TEST_F(CompleteTest, EveryCompletionIsWhatItsSequenceGivesAlone) {
  std::vector<std::string> streamed(4);
  const auto session = engine_->session();
  const Completions out = complete(*engine_, *session, prompt(), wild(30), {4, 4},
                                   [&](int32_t index, std::string_view text) {
                                     streamed[static_cast<size_t>(index)] += text;
                                     return true;
                                   });
  ASSERT_EQ(out.choices.size(), 4u);
  for (uint64_t i = 0; i < 4; ++i) {
    GenerateOptions alone = wild(30);
    alone.sequence = i;
    const GenerateResult expected = whole(alone);
    EXPECT_EQ(out.choices[i].ids, expected.ids);
    EXPECT_EQ(out.choices[i].text, expected.text);
    EXPECT_EQ(out.choices[i].sequence, i);
    EXPECT_EQ(streamed[i], expected.text);
  }
  EXPECT_NE(out.choices[0].ids, out.choices[1].ids);
  EXPECT_EQ(out.completion_tokens, 120);
  EXPECT_EQ(out.prompt_tokens, std::ssize(prompt()));
}

TEST_F(CompleteTest, BestOfKeepsTheLikeliestAndStandsAfterTheFirst) {
  GenerateOptions options = wild(20);
  options.logprobs = 0;
  std::vector<GenerateResult> all =
      complete(*engine_, *engine_->session(), prompt(), options, {6, 6}, {}).choices;
  std::sort(all.begin(), all.end(), [](const GenerateResult& a, const GenerateResult& b) {
    return a.mean_logprob > b.mean_logprob;
  });
  options = wild(20);
  options.resumable = true;
  const auto session = engine_->session();
  const Completions best = complete(*engine_, *session, prompt(), options, {2, 6}, {});
  ASSERT_EQ(best.choices.size(), 2u);
  EXPECT_EQ(best.choices[0].ids, all[0].ids);
  EXPECT_EQ(best.choices[1].ids, all[1].ids);
  EXPECT_EQ(best.completion_tokens, 120);
  const auto alone = engine_->session();
  options.sequence = best.choices[0].sequence;
  generate(*engine_, *alone, prompt(), options, {});
  EXPECT_THAT(session->logits(), testing::ElementsAreArray(alone->logits()));
  EXPECT_THAT(session->ids(), testing::ElementsAreArray(alone->ids()));
}

TEST_F(CompleteTest, CountsOutOfRangeAreRefused) {
  const auto session = engine_->session();
  EXPECT_THAT(message_of<InputError>([&] {
                complete(*engine_, *session, prompt(), wild(1), {0, 1}, {});
              }),
              HasSubstr("--num-completions 0: expected 1 to 1024"));
  EXPECT_THAT(message_of<InputError>([&] {
                complete(*engine_, *session, prompt(), wild(1), {3, 2}, {});
              }),
              HasSubstr("--best-of 2: expected 3 to 1024"));
}

TEST_F(CompleteTest, OptionsAreCheckedBeforeThePromptIsRead) {
  GenerateOptions options = wild(3);
  options.sampling.logit_bias = {{100'000, 1.0f}};
  const auto session = engine_->session();
  EXPECT_THROW(complete(*engine_, *session, prompt(), options, {1, 1}, {}), InputError);
  EXPECT_EQ(session->position(), 0);
}

TEST_F(CompleteTest, AnInterruptEndsTheRest) {
  std::atomic<bool> interrupt{false};
  GenerateOptions options = wild(30);
  options.interrupt = &interrupt;
  const Completions out = complete(*engine_, *engine_->session(), prompt(), options, {5, 5},
                                   [&](int32_t index, std::string_view) {
                                     interrupt = index == 2;
                                     return true;
                                   });
  EXPECT_TRUE(out.interrupted);
  ASSERT_EQ(out.choices.size(), 3u);
  EXPECT_EQ(out.choices[1].finish_reason, FinishReason::length);
  EXPECT_EQ(out.choices[2].finish_reason, FinishReason::interrupted);
  interrupt = true;  // before anything
  const Completions none = complete(*engine_, *engine_->session(), prompt(), options, {5, 5}, {});
  ASSERT_EQ(none.choices.size(), 1u);
  EXPECT_TRUE(none.choices[0].ids.empty());
}

TEST_F(CompleteTest, LogprobsAreThoseThatScoreGives) {
  GenerateOptions options = wild(25);
  options.logprobs = 3;
  const GenerateResult result = whole(options);
  ASSERT_EQ(result.logprobs.size(), result.ids.size());
  std::vector<int32_t> ids = prompt();
  const size_t before = ids.size();
  ids.insert(ids.end(), result.ids.begin(), result.ids.end());
  std::vector<std::vector<float>> rows;
  const ScoreResult scored = score(*engine_, ids, [&](std::span<const float> row) {
    rows.emplace_back(row.begin(), row.begin() + engine_->sampled_vocab());
  });
  double sum = 0;
  for (size_t i = 0; i < result.ids.size(); ++i) {
    const TokenLogprobs& entry = result.logprobs[i];
    EXPECT_DOUBLE_EQ(entry.logprob, scored.tokens[before + i].logprob);
    sum += entry.logprob;
    ASSERT_EQ(entry.top.size(), 3u);
    const auto& row = rows[before + i - 1];
    EXPECT_EQ(row[entry.top[0].id], *std::max_element(row.begin(), row.end()));
    EXPECT_GE(entry.top[0].logprob, entry.top[1].logprob);
    EXPECT_GE(entry.top[1].logprob, entry.top[2].logprob);
  }
  EXPECT_NEAR(result.mean_logprob, sum / 25, 1e-12);
}

TEST_F(CompleteTest, TheEndOfTextCountsInTheMean) {
  GenerateOptions options = wild(5);
  options.ignore_eos = false;
  options.logprobs = 0;
  options.sampling.logit_bias = {{engine_->special().eos.at(0), 1000.0f}};
  const GenerateResult result = whole(options);
  EXPECT_TRUE(result.ids.empty());
  EXPECT_TRUE(result.logprobs.empty());
  EXPECT_LT(result.mean_logprob, 0);
}

TEST_F(CompleteTest, ScoringInPiecesIsScoringTheWhole) {
  std::vector<int32_t> ids(70);
  std::iota(ids.begin(), ids.end(), 3);
  const ScoreResult whole_text = score(*engine_, ids);
  const auto session = engine_->session(History::discard);
  std::vector<double> pieces;
  for (size_t at = 0; at < ids.size(); at += 9) {
    const auto piece = std::span(ids).subspan(at, std::min<size_t>(9, ids.size() - at));
    for (const ScoredToken& t : score_next(*engine_, *session, piece)) pieces.push_back(t.logprob);
  }
  ASSERT_EQ(pieces.size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(pieces[i], whole_text.tokens[i].logprob) << i;
}

}  // namespace
}  // namespace krait
