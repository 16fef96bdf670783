// Batches whose tokens a device draws: every text is the one that its job alone gives, whoever
// draws for its neighbours.
#include <random>

#include <gtest/gtest.h>

#include "src/engine/scheduler.h"
#include "tests/backend/support.h"
#include "tests/models/golden.h"

namespace krait {
namespace {

std::unique_ptr<Engine> open(const std::string& name) {
  OpenOptions options;
  options.model = (test::golden_folder() / name).string();
  options.make_backend = [](const BackendOptions&) { return test::devices().front()(1); };
  return Engine::open(options);
}

// Some for the device, some for the host: penalties, log-probabilities, typical sampling.
Job random_job(std::mt19937& random, int32_t vocab) {
  Job job;
  for (uint32_t i = 0; i <= random() % 6; ++i)
    job.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
  GenerateOptions& o = job.options;
  o.max_tokens = random() % 10;
  o.seed = random();
  o.sampling.temperature = random() % 3 ? 1.5f : 0.0f;
  o.sampling.min_p = 0;
  o.ignore_eos = random() % 2 == 0;
  switch (random() % 6) {
    case 0: o.logprobs = 1; break;
    case 1: o.sampling.repeat_penalty = 1.5f; break;
    case 2: o.sampling.typical_p = 0.8f; break;
    default: break;
  }
  job.completions = random() % 4 ? 1 : 3;
  return job;
}

TEST(BatchDraws, EveryTextIsTheOneThatItsJobAloneGives) {
  const auto engine = open("plain");
  std::mt19937 random(4);
  std::vector<Job> jobs;
  for (uint64_t i = 0; i < 14; ++i) {
    jobs.push_back(random_job(random, engine->sampled_vocab()));
    jobs.back().tag = i;
  }
  Scheduler scheduler(*engine, 4);
  std::vector<JobResult> results(jobs.size());
  size_t next = 0;
  while (next < jobs.size() || !scheduler.idle()) {
    while (next < jobs.size() && scheduler.wants_jobs()) scheduler.submit(jobs[next++]);
    scheduler.step([&](JobResult&& result) { results[result.tag] = std::move(result); });
  }
  for (size_t i = 0; i < jobs.size(); ++i)
    for (size_t c = 0; c < static_cast<size_t>(jobs[i].completions); ++c) {
      GenerateOptions own = jobs[i].options;
      own.sequence += c;
      const GenerateResult alone = generate(*engine, *engine->session(), jobs[i].prompt, own, {});
      ASSERT_EQ(results[i].completions.at(c).ids, alone.ids) << "job " << i << ", text " << c;
      EXPECT_EQ(results[i].completions[c].finish_reason, alone.finish_reason);
      EXPECT_EQ(results[i].completions[c].logprobs.size(), alone.logprobs.size());
    }
}

}  // namespace
}  // namespace krait
