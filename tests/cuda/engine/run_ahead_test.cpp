// Sequences that a device goes on with by itself: they must end where the host's loop ends, bit for
// bit, however far ahead the device was.
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/engine.h"
#include "krait/error.h"
#include "tests/backend/support.h"
#include "tests/models/golden.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

std::unique_ptr<Engine> open(const std::string& name, int64_t steps_ahead, int64_t backup_every) {
  OpenOptions options;
  options.model = (test::golden_folder() / name).string();
  options.steps_ahead = steps_ahead;
  options.backup_every = backup_every;
  options.make_backend = [](const BackendOptions&) { return test::devices().front()(1); };
  return Engine::open(options);
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  bool one_in(int64_t n) { return integer(1, n) == 1; }
  std::vector<int32_t> ids(const Engine& engine, int64_t count) {
    std::vector<int32_t> ids;
    while (std::ssize(ids) < count)
      ids.push_back(static_cast<int32_t>(integer(0, engine.sampled_vocab() - 1)));
    return ids;
  }
  SamplingOptions sampling() {
    SamplingOptions o;
    o.temperature = one_in(4) ? 0.0f : 2.0f;
    o.min_p = 0;
    if (one_in(6)) o.typical_p = 0.9f;  // only the host does that
    return o;
  }

 private:
  std::mt19937_64 engine_;
};

// What on_id says to the ids that come: feed, but to the last of them.
struct Script {
  int64_t ids = 1;
  Verdict last = Verdict::stop;
  bool throws = false;
  Verdict next(int64_t& seen) const {
    if (++seen < ids) return Verdict::feed;
    if (throws) throw std::runtime_error("enough");
    return last;
  }
};

struct Turn {
  SamplingOptions sampling;
  uint64_t seed = 0, sequence = 0;
  int64_t most = kNoLimit;
  Script script;
};

std::vector<int32_t> advance(Session& session, const Turn& turn) {
  std::vector<int32_t> ids;
  int64_t seen = 0;
  try {
    session.advance(turn.sampling, turn.seed, turn.sequence, turn.most, [&](int32_t id) {
      ids.push_back(id);
      return turn.script.next(seen);
    });
  } catch (const std::runtime_error&) {
  }
  return ids;
}

// The contract, word for word.
std::vector<int32_t> plain_loop(const Engine& engine, Session& session, const Turn& turn) {
  Sampler sampler(turn.sampling, engine.sampled_vocab(), turn.seed, turn.sequence);
  std::vector<int32_t> ids;
  int64_t seen = 0;
  try {
    for (int64_t most = turn.most; most > 0; --most) {
      const int32_t id =
          sampler.sample(session.logits(), static_cast<uint64_t>(session.position()));
      ids.push_back(id);
      const Verdict verdict = turn.script.next(seen);
      if (verdict != Verdict::stop) session.feed({&id, 1});
      if (verdict != Verdict::feed) break;
    }
  } catch (const std::runtime_error&) {
  }
  return ids;
}

std::vector<int32_t> ids_of(const Session& session) {
  return {session.ids().begin(), session.ids().end()};
}

// The same ids; and if somebody looks, the same state and logits.
void expect_same(const Session& a, const Session& b) {
  ASSERT_EQ(a.position(), b.position());
  ASSERT_EQ(ids_of(a), ids_of(b));
  const Snapshot seen = a.snapshot(), expected = b.snapshot();
  ASSERT_EQ(seen->planes, expected->planes);
  ASSERT_EQ(seen->logits, expected->logits);
  ASSERT_EQ(seen->ids, expected->ids);
}

class RunAheadOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, RunAheadOf, testing::Values("plain", "mamba2_one_head", "bf16"));

TEST_P(RunAheadOf, EndsWhereThePlainLoopEnds) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Random random(seed);
    const auto engine = open(GetParam(), random.integer(1, 6), random.integer(1, 6));
    auto ahead = engine->session();
    const auto plain = engine->session();
    const auto prompt = random.ids(*engine, 3);
    ahead->feed(prompt);
    plain->feed(prompt);
    for (int64_t round = 0; round < 4; ++round) {
      Turn turn;
      turn.sampling = random.sampling();
      turn.seed = seed;
      turn.sequence = static_cast<uint64_t>(round);
      if (random.one_in(3)) turn.most = random.integer(1, 8);
      turn.script.ids = random.integer(1, 14);
      turn.script.last = random.one_in(2) ? Verdict::stop : Verdict::feed_and_stop;
      turn.script.throws = random.one_in(5);
      ASSERT_EQ(advance(*ahead, turn), plain_loop(*engine, *plain, turn)) << "seed " << seed;
      switch (random.integer(0, 4)) {
        case 0: ASSERT_NO_FATAL_FAILURE(expect_same(*ahead, *plain)) << "seed " << seed; break;
        case 1: {  // another uses the workspace
          engine->session()->feed(random.ids(*engine, 2));
          ASSERT_NO_FATAL_FAILURE(expect_same(*ahead, *plain)) << "seed " << seed;
          break;
        }
        case 2: ahead = ahead->fork(); break;
        case 3: {
          const auto more = random.ids(*engine, 2);
          ahead->feed(more);
          plain->feed(more);
          break;
        }
        default: break;  // goes on from where it is
      }
    }
    ASSERT_NO_FATAL_FAILURE(expect_same(*ahead, *plain)) << "seed " << seed;
  }
}

TEST(RunAhead, LooksAtWhatItForgets) {
  const auto engine = open("one_state", 8, 3);
  const auto session = engine->session();
  session->feed(std::vector<int32_t>{1, 2, 3});
  const Snapshot before = session->snapshot();
  Turn turn;
  turn.script.ids = 7;
  const auto ids = advance(*session, turn);
  session->restore(before);
  EXPECT_EQ(session->snapshot()->planes, before->planes);
  EXPECT_EQ(advance(*session, turn), ids);
  session->reset();
  EXPECT_TRUE(session->logits().empty());
  EXPECT_EQ(session->snapshot()->planes, engine->session()->snapshot()->planes);
}

// The sampler's own words, with the session where the logits are.
TEST(RunAhead, LogitsThatCannotBeSampled) {
  const auto engine = open("one_state", 4, 2);
  const auto session = engine->session();
  session->feed(std::vector<int32_t>{1, 2, 3});
  SequenceState broken = *session->snapshot();
  std::fill(broken.planes.begin(), broken.planes.end(), std::nanf(""));
  session->restore(std::make_shared<const SequenceState>(broken));
  Turn turn;
  turn.script.ids = 7;
  int calls = 0;
  const auto run = [&] {
    session->advance(turn.sampling, 1, 1, kNoLimit, [&](int32_t) {
      ++calls;
      return Verdict::feed;
    });
  };
  EXPECT_THAT(test::message_of<Failure>(run),
              testing::HasSubstr("the model's output is not usable"));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(session->position(), 4);
}

// With logprobs the host looks at every token.
TEST(RunAhead, GeneratesWhatTheHostGenerates) {
  const auto engine = open("plain", 5, 4);
  Random random(3);
  for (int i = 0; i < 12; ++i) {
    GenerateOptions options;
    options.sampling = random.sampling();
    options.max_tokens = random.one_in(5) ? 0 : random.integer(1, 14);
    options.seed = static_cast<uint64_t>(i);
    options.stop_ids = random.ids(*engine, random.integer(0, 4));
    options.resumable = random.one_in(2);
    const auto prompt = random.ids(*engine, 2);
    GenerateOptions looking = options;
    looking.logprobs = 0;
    const auto a = engine->session(), b = engine->session();
    const GenerateResult seen = generate(*engine, *a, prompt, options, {});
    const GenerateResult expected = generate(*engine, *b, prompt, looking, {});
    ASSERT_EQ(seen.ids, expected.ids);
    ASSERT_EQ(seen.finish_reason, expected.finish_reason);
    ASSERT_EQ(seen.timings.decode_steps, expected.timings.decode_steps);
    ASSERT_NO_FATAL_FAILURE(expect_same(*a, *b));
  }
}

}  // namespace
}  // namespace krait
