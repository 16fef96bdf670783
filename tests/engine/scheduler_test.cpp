// Continuous batching must be invisible: every text is the one that its job alone would give.
#include "src/engine/scheduler.h"

#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::message_of;

std::unique_ptr<Engine> open(const std::string& model, int threads = 2) {
  OpenOptions options;
  options.model = std::string(KRAIT_TEST_GOLDEN) + "/models/" + model;
  options.backend = {"cpu", "auto", threads};
  return Engine::open(options);
}

std::vector<JobResult> run_all(Scheduler& scheduler, std::vector<Job> jobs) {
  std::vector<JobResult> results(jobs.size());
  size_t next = 0;
  while (next < jobs.size() || !scheduler.idle()) {
    while (next < jobs.size() && scheduler.wants_jobs()) {
      jobs[next].tag = next;
      scheduler.submit(std::move(jobs[next++]));
    }
    scheduler.step([&](JobResult&& result) { results[result.tag] = std::move(result); });
  }
  return results;
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t up_to(int64_t most) { return static_cast<int64_t>(engine_() % (most + 1)); }
  std::vector<int32_t> ids(int64_t count, int32_t vocabulary) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(up_to(vocabulary - 1)));
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

Job random_job(Random& random, int32_t vocabulary) {
  Job job;
  job.prompt = random.ids(1 + random.up_to(random.up_to(3) == 0 ? 200 : 12), vocabulary);
  job.options.max_tokens = random.up_to(25);
  job.options.seed = static_cast<uint64_t>(random.up_to(1000));
  job.options.sampling.temperature = random.up_to(1) ? 1.5f : 0.0f;
  job.options.sampling.repeat_penalty = random.up_to(1) ? 1.3f : 1.0f;
  job.options.ignore_eos = random.up_to(1) == 1;
  if (random.up_to(1)) job.options.logprobs = static_cast<int32_t>(random.up_to(3));
  return job;
}

void expect_same(const GenerateResult& alone, const GenerateResult& batched,
                 const std::string& what) {
  EXPECT_EQ(alone.ids, batched.ids) << what;
  EXPECT_EQ(alone.finish_reason, batched.finish_reason) << what;
  ASSERT_EQ(alone.logprobs.size(), batched.logprobs.size()) << what;
  for (size_t i = 0; i < alone.logprobs.size(); ++i)
    EXPECT_EQ(alone.logprobs[i].logprob, batched.logprobs[i].logprob) << what;
}

class SchedulerTest : public testing::TestWithParam<const char*> {};

TEST_P(SchedulerTest, EveryTextIsTheOneThatItsJobAloneGives) {
  const auto engine = open(GetParam());
  Random random(7);
  std::vector<Job> jobs;
  for (int i = 0; i < 40; ++i) jobs.push_back(random_job(random, engine->sampled_vocab()));
  std::vector<GenerateResult> alone;
  for (const Job& job : jobs)
    alone.push_back(generate(*engine, *engine->session(), job.prompt, job.options, {}));
  for (const int32_t slots : {1, 3, 16}) {
    Scheduler scheduler(*engine, slots);
    const std::vector<JobResult> results = run_all(scheduler, jobs);
    for (size_t i = 0; i < jobs.size(); ++i) {
      const std::string what = "job " + std::to_string(i) + ", slots " + std::to_string(slots);
      ASSERT_EQ(results[i].completions.size(), 1u) << what;
      expect_same(alone[i], results[i].completions[0], what);
      EXPECT_EQ(results[i].prompt_tokens, alone[i].prompt_tokens);
    }
  }
}

TEST_P(SchedulerTest, ASharedBeginningIsReadOnceAndChangesNothing) {
  const auto engine = open(GetParam());
  Random random(8);
  const std::vector<int32_t> system = random.ids(150, engine->sampled_vocab());
  std::vector<Job> jobs;
  int64_t prompt_tokens = 0;
  for (int i = 0; i < 24; ++i) {
    Job job = random_job(random, engine->sampled_vocab());
    if (i % 8 != 0) job.prompt.insert(job.prompt.begin(), system.begin(), system.end());
    prompt_tokens += static_cast<int64_t>(job.prompt.size());
    jobs.push_back(job);
  }
  std::vector<GenerateResult> alone;
  for (const Job& job : jobs)
    alone.push_back(generate(*engine, *engine->session(), job.prompt, job.options, {}));
  Scheduler scheduler(*engine, 6);
  const std::vector<JobResult> results = run_all(scheduler, jobs);
  int64_t cached = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    expect_same(alone[i], results[i].completions[0], "job " + std::to_string(i));
    cached += results[i].cached_tokens;
  }
  // 21 jobs begin alike; the first of them reads for the others.
  EXPECT_GE(cached, 20 * 150);
  EXPECT_EQ(scheduler.tokens_fed(), prompt_tokens - cached);
}

TEST_P(SchedulerTest, SeveralCompletionsComeFromOneReading) {
  const auto engine = open(GetParam());
  Random random(9);
  Job job = random_job(random, engine->sampled_vocab());
  job.options.sampling.temperature = 2.0f;
  job.options.max_tokens = 12;
  job.options.ignore_eos = true;
  job.completions = 7;
  for (const int32_t slots : {1, 3, 16}) {
    Scheduler scheduler(*engine, slots);
    const std::vector<JobResult> results = run_all(scheduler, {job});
    EXPECT_EQ(scheduler.tokens_fed(), static_cast<int64_t>(job.prompt.size()));
    ASSERT_EQ(results[0].completions.size(), 7u);
    for (size_t i = 0; i < 7; ++i) {  // completion i draws as sequence i
      GenerateOptions own = job.options;
      own.sequence = i;
      expect_same(generate(*engine, *engine->session(), job.prompt, own, {}),
                  results[0].completions[i], "completion " + std::to_string(i));
    }
    EXPECT_NE(results[0].completions[0].ids, results[0].completions[1].ids);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SchedulerTest,
                         testing::Values("plain", "mamba2_groups", "falcon"));

TEST(Scheduler, AJobThatCannotRunIsRefusedAndDisturbsNobody) {
  const auto engine = open("plain");
  Scheduler scheduler(*engine, 2);
  Job bad;
  bad.prompt = {1, 1 << 30};
  EXPECT_THAT(message_of<InputError>([&] { scheduler.submit(bad); }),
              testing::HasSubstr("token id 1073741824 in the prompt; expected 0 to"));
  bad.prompt = {1};
  bad.options.sampling.top_p = -1;
  EXPECT_THAT(message_of<InputError>([&] { scheduler.submit(bad); }),
              testing::HasSubstr("--top-p"));
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, LogitsThatCannotBeSampledEndTheirJobOnly) {
  const auto engine = open("plain");
  Scheduler scheduler(*engine, 2);
  Job good, bad;
  good.prompt = bad.prompt = {1, 2, 3};
  good.options.max_tokens = bad.options.max_tokens = 5;
  for (int32_t id = 0; id < engine->sampled_vocab(); ++id)
    bad.options.sampling.logit_bias.emplace_back(id, -std::numeric_limits<float>::infinity());
  const std::vector<JobResult> results = run_all(scheduler, {bad, good});
  EXPECT_THAT(results[0].error, testing::HasSubstr("no token can be chosen"));
  EXPECT_TRUE(results[0].completions.empty());
  EXPECT_EQ(results[1].error, "");
  EXPECT_EQ(results[1].completions.size(), 1u);
}

}  // namespace
}  // namespace krait
