// Conversations: whatever was undone, forked and written again, what is left is what replaying it
// from the start would give, and nothing was read twice.
#include "krait/conversation.h"

#include <map>
#include <random>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/engine/conversation_support.h"

namespace krait {
namespace {

using nlohmann::ordered_json;
using test::CountingEngine;
using test::printable_answers;
using test::state_of;

// Leaves out what stands before "]" in earlier answers, as templates leave out reasoning.
constexpr const char* kRewriting = R"({% for m in messages %}
{%- if m.role == 'assistant' %}{{ '[A]' ~ m.content.split('e')[-1] ~ '\n' }}
{%- else %}{{ '[' ~ m.role ~ ']' ~ m.content ~ '\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}[A]{% endif %})";

// What is left of a branch, as somebody would tell it: messages, and how often each was answered.
struct Turn {
  std::string message;
  int answers = 1;
  std::string stop;
};
using Story = std::vector<Turn>;

GenerateOptions options_of(GenerateOptions options, const Turn& turn) {
  if (!turn.stop.empty()) options.stop = {turn.stop};
  return options;
}

void expect_same(Conversation& a, Conversation& b) {
  const auto left = a.messages(), right = b.messages();
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].role, right[i].role);
    ASSERT_EQ(left[i].content, right[i].content) << "message " << i;
  }
  const Snapshot x = state_of(a), y = state_of(b);
  ASSERT_EQ(x->ids, y->ids);
  ASSERT_EQ(x->planes, y->planes);
  ASSERT_EQ(x->logits, y->logits);
}

class ConversationOf
    : public testing::TestWithParam<std::tuple<RandomArchitecture, const char*, int64_t>> {
 protected:
  ConversationOf() {
    write_random_checkpoint(folder_.path("m"), test::small_model(std::get<0>(GetParam())));
    engine_ = test::open_model(folder_.path("m"));
    std::string choice = std::get<1>(GetParam());
    if (choice == "rewriting") choice = folder_.write("rewriting.jinja", kRewriting);
    format_.emplace(*engine_, choice);
    options_ = printable_answers(*engine_, 12);
  }

  bool rewrites() const { return std::get<1>(GetParam()) == std::string("rewriting"); }

  void replay(Conversation& chat, const Story& story) {
    for (const Turn& turn : story) {
      chat.say(turn.message, options_of(options_, turn), {});
      for (int i = 1; i < turn.answers; ++i) chat.regenerate(options_of(options_, turn), {});
    }
  }

  // The ids, read as text, are the conversation as the template writes it.
  void expect_ids_say_it(Conversation& chat) {
    ordered_json messages = ordered_json::array();
    for (const ChatMessage& m : chat.messages())
      messages.push_back({{"role", m.role}, {"content", format_->guard(m.content)}});
    if (messages.empty() || rewrites()) return;
    const std::string rendered =
        format_->render(messages, nullptr, {.add_generation_prompt = false}).text;
    const std::string read = decode(*engine_->tokenizer(), state_of(chat)->ids, true);
    ASSERT_TRUE(rendered.starts_with(read)) << rendered << "\n---\n" << read;
    ASSERT_LT(rendered.size() - read.size(), 20u) << rendered << "\n---\n" << read;
  }

  test::TempFolder folder_;
  std::unique_ptr<CountingEngine> engine_;
  std::optional<ChatFormat> format_;
  GenerateOptions options_;
};

constexpr int64_t kEnough = int64_t{1} << 30;
INSTANTIATE_TEST_SUITE_P(All, ConversationOf,
                         testing::Combine(testing::Values(RandomArchitecture::mamba,
                                                          RandomArchitecture::mamba2),
                                          testing::Values("plain", "chatml", "rewriting"),
                                          testing::Values(kEnough, int64_t{150'000})));

TEST_P(ConversationOf, IsWhatReplayingWhatIsLeftOfItGives) {
  const int64_t budget = std::get<2>(GetParam());
  Conversation chat(*engine_, *format_, budget);
  std::map<std::string, Story> stories = {{"main", {}}};
  std::mt19937 random(7);
  const auto check = [&](const Story& story) {
    Conversation again(*engine_, *format_);
    replay(again, story);
    expect_same(chat, again);
    expect_ids_say_it(chat);
  };
  for (int step = 0; step < 200; ++step) {
    Story& story = stories.at(chat.branch());
    switch (random() % 8) {
      case 0: {
        const auto turns = static_cast<int64_t>(random() % 3);
        const int64_t undone = chat.undo(turns);
        EXPECT_EQ(undone, std::min<int64_t>(turns, std::ssize(story)));
        story.resize(story.size() - static_cast<size_t>(undone));
        break;
      }
      case 1:
        if (story.empty()) break;
        ++story.back().answers;
        EXPECT_FALSE(chat.regenerate(options_of(options_, story.back()), {}).taken_back);
        break;
      case 2: {
        const std::string name = "b" + std::to_string(step);
        const Story copy = story;
        chat.fork(name);
        stories[name] = copy;
        break;
      }
      case 3: {
        auto it = stories.begin();
        std::advance(it, random() % stories.size());
        chat.switch_to(it->first);
        break;
      }
      default: {
        Turn turn{"say " + std::to_string(random() % 1000), 1, ""};
        if (random() % 2) turn.stop = std::string(1, static_cast<char>('a' + random() % 20));
        chat.say(turn.message, options_of(options_, turn), {});
        story.push_back(turn);
      }
    }
    if (step % 20 == 0) check(stories.at(chat.branch()));
    if (HasFatalFailure()) return;
  }
  for (const auto& [name, story] : stories) {
    chat.switch_to(name);
    check(story);
    if (HasFatalFailure()) return;
  }
}

TEST_P(ConversationOf, ReadsOnlyWhatIsNew) {
  if (rewrites()) return;  // what it rewrites is read again
  Conversation chat(*engine_, *format_);
  int64_t first = 0;
  for (int turn = 0; turn < 60; ++turn) {
    const int64_t before = engine_->fed(), tokens = chat.counts().tokens;
    GenerateOptions options = options_;
    if (turn % 2) options.stop = {"e", "st"};
    const TurnResult result = chat.say("the same message", options, {});
    EXPECT_EQ(result.read_again, 0);
    const int64_t fed = engine_->fed() - before;
    EXPECT_EQ(fed, result.answer.prompt_tokens + result.answer.timings.decode_steps);
    EXPECT_LE(chat.counts().tokens - tokens, fed);
    // What a stop string held back of a token is written anew by the template.
    if (turn == 1) first = result.answer.prompt_tokens;
    EXPECT_LE(result.answer.prompt_tokens, turn == 0 ? 1000 : first + 4) << "turn " << turn;
    if (std::get<2>(GetParam()) != kEnough) continue;
    const int64_t at = engine_->fed();
    if (turn % 7 == 3) chat.fork("b" + std::to_string(turn));
    if (turn % 5 == 4) chat.undo(1 + turn % 3);
    if (turn % 6 == 5) chat.switch_to("main");
    EXPECT_EQ(engine_->fed(), at);
  }
  EXPECT_EQ(chat.counts().read_again, 0);
}

TEST_P(ConversationOf, ASavedOneGoesOnAsIfNothingHadHappened) {
  const std::string path = folder_.path("s");
  const Story story = {{"first", 1, ""}, {"second", 2, "e"}, {"third", 1, ""}};
  const Story more = {{"fourth", 3, "a"}, {"fifth", 1, ""}};
  Conversation chat(*engine_, *format_);
  chat.set_system("Be brief.");
  replay(chat, story);
  chat.fork("other");
  chat.undo(1);
  save_state(*engine_, chat.save(5), path);
  const auto engine = test::open_model(folder_.path("m"));
  Conversation loaded(*engine, *format_);
  loaded.load(load_state(*engine, path), path);
  EXPECT_EQ(engine->fed(), 0);
  EXPECT_EQ(loaded.branch(), "other");
  EXPECT_EQ(loaded.system(), "Be brief.");
  expect_same(loaded, chat);
  replay(chat, more);
  replay(loaded, more);
  expect_same(loaded, chat);
  for (Conversation* each : {&chat, &loaded}) {
    each->switch_to("main");
    replay(*each, more);
    each->undo(4);
    replay(*each, more);
  }
  expect_same(loaded, chat);
}

TEST_P(ConversationOf, StatesStayWithinTheirMemory) {
  const int64_t budget = std::get<2>(GetParam());
  Conversation chat(*engine_, *format_, budget);
  for (int turn = 0; turn < 40; ++turn) {
    chat.say("message " + std::to_string(turn), options_, {});
    EXPECT_LE(chat.counts().snapshot_bytes, budget);
  }
  const int64_t snapshots = chat.counts().snapshots;
  EXPECT_EQ(snapshots == 80, budget == kEnough);
  // Those that are left are spread: going back anywhere reads a part of it only.
  const int64_t tokens = chat.counts().tokens;
  for (int back = 0; back < 39; ++back) {
    chat.undo(1);
    const int64_t before = engine_->fed();
    state_of(chat);
    EXPECT_LE(engine_->fed() - before, 4 * tokens / snapshots) << back;
  }
}

}  // namespace
}  // namespace krait
