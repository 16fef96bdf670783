// One model, many threads, each with sessions of its own: whatever they do at the same time, each
// gets to the bit what it gets alone. What they may do is what krait/engine.h says; tools/test runs
// this under ThreadSanitizer.
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/batch.h"
#include "krait/chat_format.h"
#include "krait/conversation.h"
#include "krait/engine.h"
#include "src/base/hash.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

std::string bytes_of(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

std::vector<int32_t> random_ids(std::mt19937& random, const Engine& engine, size_t count) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids)
    id = static_cast<int32_t>(random() % static_cast<uint32_t>(engine.sampled_vocab()));
  return ids;
}

GenerateOptions wild(uint64_t seed, int64_t max_tokens) {
  GenerateOptions options;
  options.seed = seed;
  options.max_tokens = max_tokens;
  options.ignore_eos = true;
  options.sampling.temperature = 3;
  options.sampling.top_k = 0;
  options.sampling.top_p = 1;
  options.sampling.min_p = 0;
  return options;
}

// What a thread does with the shared engine. Returns all that it saw.
using Work = std::function<std::string(Engine&, uint32_t seed)>;

std::string generates(Engine& engine, uint32_t seed) {
  std::mt19937 random(seed);
  const auto session = engine.session();
  GenerateOptions options = wild(seed, 20);
  options.resumable = true;
  std::string seen;
  const auto listen = [&](std::string_view piece) {
    seen += piece;
    return true;
  };
  generate(engine, *session, random_ids(random, engine, 30), options, listen);
  options.sampling.repeat_penalty = 1.2f;  // the other loop
  generate(engine, *session, random_ids(random, engine, 3), options, listen);
  const auto completions = complete(engine, *session, {}, options, {.count = 2, .best_of = 3},
                                    [](int32_t, std::string_view) { return true; });
  for (const GenerateResult& choice : completions.choices) seen += choice.text;
  return seen + bytes_of(session->logits());
}

std::string scores(Engine& engine, uint32_t seed) {
  std::mt19937 random(seed);
  std::string seen;
  const ScoreResult result = score(engine, random_ids(random, engine, 40),
                                   [&](std::span<const float> row) { seen += bytes_of(row); });
  return seen + std::to_string(result.nll);
}

std::string walks(Engine& engine, uint32_t seed) {
  const test::TempFolder folder;
  std::mt19937 random(seed);
  auto session = engine.session();
  std::vector<Snapshot> kept = {session->snapshot()};
  std::string seen;
  for (int step = 0; step < 24; ++step) {
    switch (random() % 5) {
      case 0: session->restore(kept[random() % kept.size()]); break;
      case 1: kept.push_back(session->snapshot()); break;
      case 2: session = session->fork(); break;
      case 3:
        save_state(engine, {session->snapshot(), 1, 2, DType::f32}, folder.path("state"));
        session->reset();
        session->restore(load_state(engine, folder.path("state")).snapshot);
        break;
      default: session->feed(random_ids(random, engine, 1 + random() % 9)); break;
    }
    seen += bytes_of(session->logits());
  }
  return seen;
}

// Prompts with a long common beginning, which is read once.
std::string runs_a_batch(Engine& engine, uint32_t seed) {
  const test::TempFolder folder;
  std::ofstream prompts(folder.path("prompts"));
  for (uint32_t line = 0; line < 8; ++line)
    prompts << "what all these lines have in common, and " << seed * line << "\n";
  prompts.close();
  BatchOptions options;
  options.input = folder.path("prompts");
  options.results = folder.path("results");
  options.slots = 3;
  options.defaults = wild(0, 6);
  const BatchProgress progress = run_batch(engine, options, {});
  EXPECT_GT(progress.cached_tokens, 0);
  std::map<std::string, std::string> texts;
  std::ifstream results(options.results);
  for (std::string line; std::getline(results, line);) {
    const auto result = nlohmann::json::parse(line);
    texts[result["id"]] = result["response"]["body"]["choices"].dump();
  }
  std::string seen;
  for (const auto& [id, text] : texts) seen += id + text + "\n";
  return seen;
}

std::string converses(Engine& engine, uint32_t seed) {
  const ChatFormat format(engine, "chatml");
  Conversation chat(engine, format);
  std::string seen;
  const auto listen = [&](std::string_view piece) {
    seen += piece;
    return true;
  };
  chat.say("Hello " + std::to_string(seed), wild(seed, 8), listen);
  chat.fork("other");
  chat.regenerate(wild(seed + 1, 8), listen);
  chat.switch_to("main");
  chat.undo(1);
  chat.say("Goodbye", wild(seed, 8), listen);
  return seen + bytes_of(chat.save(0).snapshot->logits);
}

const std::map<std::string, Work> kWorks = {{"generate", generates},
                                            {"score", scores},
                                            {"walk", walks},
                                            {"batch", runs_a_batch},
                                            {"chat", converses}};

class Shared : public testing::TestWithParam<RandomArchitecture> {
 protected:
  Shared() {
    RandomCheckpoint checkpoint;
    checkpoint.architecture = GetParam();
    checkpoint.d_model = 32;
    checkpoint.d_state = 8;
    checkpoint.head_dim = 16;
    write_random_checkpoint(folder_.path("model"), checkpoint);
  }

  std::unique_ptr<Engine> open(int threads) const {
    OpenOptions options;
    options.model = folder_.path("model");
    options.backend = {"cpu", "auto", threads};
    options.chunk = 7;
    return Engine::open(options);
  }

  test::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Architectures, Shared,
                         testing::Values(RandomArchitecture::mamba,
                                         RandomArchitecture::falcon_mamba,
                                         RandomArchitecture::mamba2));

TEST_P(Shared, EveryThreadGetsTheBitsItGetsAlone) {
  constexpr uint32_t kOfEach = 2, kRounds = 15;
  std::map<std::pair<std::string, uint32_t>, std::string> alone, together;
  for (const auto& [name, work] : kWorks)
    for (uint32_t seed = 0; seed < kOfEach; ++seed) {
      alone[{name, seed}] = work(*open(1), seed);
      together[{name, seed}];
    }
  const auto engine = open(3);
  std::vector<std::thread> threads;
  std::atomic<size_t> begun = 0;
  for (auto& [what, seen] : together)
    threads.emplace_back([&, &what = what, &seen = seen] {
      for (++begun; begun < together.size();) std::this_thread::yield();
      for (uint32_t round = 0; round < kRounds; ++round)
        seen += kWorks.at(what.first)(*engine, what.second);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& [what, seen] : together) {
    std::string expected;
    for (uint32_t round = 0; round < kRounds; ++round) expected += alone.at(what);
    EXPECT_TRUE(seen == expected) << what.first << " " << what.second;
  }
}

// A session is used by one thread at a time, not by one thread.
TEST_P(Shared, ASessionMayBeHandedOn) {
  const auto engine = open(2);
  std::mt19937 random(5);
  const std::vector<int32_t> ids = random_ids(random, *engine, 20);
  const auto whole = engine->session();
  whole->feed(ids);
  const auto handed_on = engine->session();
  for (const int32_t id : ids) std::thread([&] { handed_on->feed({&id, 1}); }).join();
  EXPECT_EQ(bytes_of(handed_on->logits()), bytes_of(whole->logits()));
}

TEST_P(Shared, EnginesOpenAndCloseBesideOneAnother) {
  const std::string alone = generates(*open(1), 3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&, i] { EXPECT_TRUE(generates(*open(1 + i), 3) == alone); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace krait
