// Chats whose answers a device writes by itself: the same as those that the host watches.
#include <gtest/gtest.h>

#include "krait/conversation.h"
#include "tests/backend/support.h"
#include "tests/engine/conversation_support.h"

namespace krait {
namespace {

TEST(DeviceChat, SaysWhatTheHostWouldSay) {
  const test::TempFolder folder;
  write_random_checkpoint(folder.path("m"), test::small_model(RandomArchitecture::mamba));
  OpenOptions open;
  open.model = folder.path("m");
  open.steps_ahead = 5;
  open.backup_every = 3;
  open.make_backend = [](const BackendOptions&) { return test::devices().front()(1); };
  const auto engine = Engine::open(open);
  const ChatFormat format(*engine, "plain");
  Conversation free(*engine, format), watched(*engine, format);
  GenerateOptions options;
  options.sampling.temperature = 6;
  options.sampling.top_k = 200;
  options.sampling.top_p = 1;
  options.sampling.min_p = 0;
  int stopped = 0;
  for (uint64_t turn = 0; turn < 14; ++turn) {
    options.seed = turn;
    options.max_tokens = 3 + static_cast<int64_t>(turn % 5) * 4;
    options.stop =
        turn % 2 ? std::vector<std::string>{"e", "AB", "\xc3"} : std::vector<std::string>{};
    GenerateOptions looking = options;
    looking.logprobs = 0;
    const TurnResult seen = free.say("Hi", options, {}), expected = watched.say("Hi", looking, {});
    ASSERT_EQ(seen.answer.ids, expected.answer.ids) << turn;
    ASSERT_EQ(seen.answer.text, expected.answer.text) << turn;
    ASSERT_EQ(seen.answer.finish_reason, expected.answer.finish_reason) << turn;
    const Snapshot a = test::state_of(free), b = test::state_of(watched);
    ASSERT_EQ(a->position, b->position) << turn;
    ASSERT_EQ(a->ids, b->ids) << turn;
    ASSERT_EQ(a->planes, b->planes) << turn;
    ASSERT_EQ(a->logits, b->logits) << turn;
    stopped += seen.answer.finish_reason == FinishReason::stop;
  }
  EXPECT_GT(stopped, 0);
}

}  // namespace
}  // namespace krait
