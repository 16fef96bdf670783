// Sequences as values, on every architecture: going back, branching, files.
#include "krait/session.h"

#include <algorithm>
#include <filesystem>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/engine.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using testing::HasSubstr;

std::unique_ptr<Engine> open(const std::string& name, int threads = 2, int chunk = 5,
                             std::optional<DType> dtype = {}) {
  OpenOptions options;
  options.model = std::string(KRAIT_TEST_GOLDEN) + "/models/" + name;
  options.backend = {"cpu", "auto", threads};
  options.chunk = chunk;
  options.dtype = dtype;
  return Engine::open(options);
}

std::vector<float> logits_of(const Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

std::vector<int32_t> random_ids(std::mt19937& random, const Engine& engine, size_t count) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids)
    id = static_cast<int32_t>(random() % static_cast<uint32_t>(engine.sampled_vocab()));
  return ids;
}

class SessionOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, SessionOf,
                         testing::Values("plain", "one_state", "falcon", "mamba2", "mamba2_groups",
                                         "mamba2_one_head", "codestral", "bf16"));

// A random walk of feeding, keeping, going back and branching; the model of it is the list of ids:
// reading that from the start must give the same bits.
TEST_P(SessionOf, StandsWhereReplayingItsIdsWouldStand) {
  const auto engine = open(GetParam());
  std::mt19937 random(17);
  auto session = engine->session();
  std::vector<Snapshot> kept = {session->snapshot()};
  for (int step = 0; step < 60; ++step) {
    switch (random() % 4) {
      case 0: session->restore(kept[random() % kept.size()]); break;
      case 1: kept.push_back(session->snapshot()); break;
      case 2: {
        auto branch = session->fork();
        session->feed(random_ids(random, *engine, 3));  // what the original does is its own affair
        session = std::move(branch);
        break;
      }
      default: session->feed(random_ids(random, *engine, 1 + random() % 12)); break;
    }
    const std::vector<int32_t> ids(session->ids().begin(), session->ids().end());
    ASSERT_EQ(session->position(), std::ssize(ids));
    const auto replayed = engine->session();
    replayed->feed(ids);
    ASSERT_EQ(logits_of(*session), logits_of(*replayed)) << "step " << step;
    const auto next = random_ids(random, *engine, 2);
    const auto ahead = session->fork();
    ahead->feed(next);
    replayed->feed(next);
    ASSERT_EQ(logits_of(*ahead), logits_of(*replayed)) << "step " << step;
  }
}

TEST_P(SessionOf, AFileInBetweenChangesNoBit) {
  const test::TempFolder folder;
  std::mt19937 random(23);
  std::vector<float> expected;
  {
    const auto engine = open(GetParam(), 1, 64);
    const auto session = engine->session();
    session->feed(random_ids(random, *engine, 30));
    save_state(*engine, {session->snapshot(), 1, 2, DType::f32}, folder.path("s"));
    session->feed(std::vector<int32_t>{1, 2, 3, 4});
    expected = logits_of(*session);
  }
  const auto engine = open(GetParam(), 2, 3);
  const SavedState saved = load_state(*engine, folder.path("s"));
  const auto session = engine->session();
  session->restore(saved.snapshot);
  EXPECT_EQ(session->position(), 30);
  EXPECT_EQ(session->ids().size(), 30u);
  session->feed(std::vector<int32_t>{1, 2, 3, 4});
  EXPECT_EQ(logits_of(*session), expected);
}

TEST(Session, ASnapshotOutlivesSessionAndEngine) {
  Snapshot snapshot;
  std::vector<float> logits;
  {
    const auto engine = open("plain");
    const auto session = engine->session();
    session->feed(std::vector<int32_t>{5, 6, 7});
    snapshot = session->snapshot();
    logits = logits_of(*session);
  }
  EXPECT_EQ(snapshot->logits, logits);
  EXPECT_EQ(snapshot->ids, (std::vector<int32_t>{5, 6, 7}));
  const auto engine = open("plain");
  const auto session = engine->session();
  session->restore(snapshot);
  EXPECT_EQ(logits_of(*session), logits);
}

TEST(Session, WithoutHistoryOnlyTheIdsAreMissing) {
  const auto engine = open("plain");
  const auto session = engine->session(History::discard);
  session->feed(std::vector<int32_t>{5, 6, 7});
  EXPECT_TRUE(session->ids().empty());
  EXPECT_EQ(session->position(), 3);
  const auto whole = engine->session();
  whole->feed(std::vector<int32_t>{5, 6, 7});
  EXPECT_EQ(logits_of(*session), logits_of(*whole));
  session->restore(whole->snapshot());
  EXPECT_TRUE(session->ids().empty());
}

TEST(Session, RestoringAnEmptySequenceForgetsEverything) {
  const auto engine = open("mamba2");
  const auto session = engine->session();
  const Snapshot start = session->snapshot();
  session->feed(std::vector<int32_t>{5, 6, 7});
  session->restore(start);
  EXPECT_TRUE(session->logits().empty());
  EXPECT_EQ(session->position(), 0);
  EXPECT_TRUE(session->ids().empty());
}

TEST(StateError, IsZeroForTheSameStateAndSmallForARoundedOne) {
  const test::TempFolder folder;
  const auto engine = open("mamba2");
  const auto session = engine->session();
  session->feed(std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Snapshot exact = session->snapshot();
  save_state(*engine, {exact, 0, 0, DType::f32}, folder.path("s"), DType::bf16);
  EXPECT_EQ(state_error(*engine, exact, exact), 0.0);
  const double error = state_error(*engine, exact, load_state(*engine, folder.path("s")).snapshot);
  EXPECT_GT(error, 0.0);
  EXPECT_LT(error, 0.02);
}

TEST(Fingerprint, TellsModelsApartAndNotTypesOfLoading) {
  const uint64_t plain = open("plain")->fingerprint();
  EXPECT_EQ(open("plain", 1, 64, DType::q8_0)->fingerprint(), plain);
  for (const char* other : {"long", "falcon", "mamba2", "bf16"})
    EXPECT_NE(open(other)->fingerprint(), plain) << other;
}

TEST(Fingerprint, SeesConfigAndWeights) {
  namespace fs = std::filesystem;
  const test::TempFolder folder;
  const std::string source = std::string(KRAIT_TEST_GOLDEN) + "/models/plain";
  const auto fingerprint = [&](const std::string& file, const std::string& from,
                               const std::string& to) {
    fs::remove_all(folder.path("m"));
    fs::copy(source, folder.path("m"));
    std::ifstream in(source + "/" + file, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (from.empty()) {
      bytes.back() = static_cast<char>(bytes.back() ^ 1);  // the last byte of the last tensor
    } else {
      EXPECT_NE(bytes.find(from), std::string::npos);
      bytes.replace(bytes.find(from), from.size(), to);
    }
    folder.write("m/" + file, bytes);
    OpenOptions options;
    options.model = folder.path("m");
    options.backend.device = "cpu";
    return Engine::open(options)->fingerprint();
  };
  const uint64_t same = fingerprint("config.json", "{", "{ ");
  EXPECT_EQ(same, open("plain")->fingerprint());
  EXPECT_NE(fingerprint("config.json", "\"layer_norm_epsilon\": ", "\"layer_norm_epsilon\": 1"),
            same);
  EXPECT_NE(fingerprint("model.safetensors", "", ""), same);
}

TEST(StateFiles, OfAnotherModelAreRefused) {
  const test::TempFolder folder;
  const auto engine = open("plain");
  const auto session = engine->session();
  session->feed(std::vector<int32_t>{1});
  save_state(*engine, {session->snapshot(), 0, 0, DType::f32}, folder.path("s"));
  EXPECT_THAT(test::message_of<InputError>([&] { load_state(*open("long"), folder.path("s")); }),
              HasSubstr("/s: the model: found"));
}

}  // namespace
}  // namespace krait
