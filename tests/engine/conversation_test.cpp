// Conversations: whatever was undone, forked and written again, what is left is what replaying it
// from the start would give, and nothing was read twice.
#include "krait/conversation.h"

#include <map>
#include <random>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tests/engine/conversation_support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using nlohmann::ordered_json;
using test::CountingEngine;
using test::printable_answers;
using testing::ElementsAre;
using testing::HasSubstr;

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

Snapshot state_of(Conversation& chat) { return chat.save(0).snapshot; }

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

// ---- one by one -----------------------------------------------------------------------------

class OneConversation : public testing::Test {
 protected:
  OneConversation() {
    write_random_checkpoint(folder_.path("m"), test::small_model(RandomArchitecture::mamba));
    engine_ = test::open_model(folder_.path("m"));
    format_.emplace(*engine_, "plain");
    chat_.emplace(*engine_, *format_);
    options_ = printable_answers(*engine_, 12);
  }

  std::string refusal(const std::string& notes) {
    SavedState saved = chat_->save(0);
    saved.notes = notes;
    return test::message_of<InputError>([&] { chat_->load(saved, "F"); });
  }

  test::TempFolder folder_;
  std::unique_ptr<CountingEngine> engine_;
  std::optional<ChatFormat> format_;
  std::optional<Conversation> chat_;
  GenerateOptions options_;
};

TEST_F(OneConversation, AnInterruptKeepsWhatWasWritten) {
  std::atomic<bool> interrupt = false;
  options_.interrupt = &interrupt;
  options_.max_tokens = 1000;
  std::string seen;
  const TurnResult result = chat_->say("Hello", options_, [&](std::string_view text) {
    seen += text;
    interrupt = seen.size() >= 20;
    return true;
  });
  EXPECT_EQ(result.answer.finish_reason, FinishReason::interrupted);
  EXPECT_FALSE(result.taken_back);
  EXPECT_EQ(chat_->messages().back().content, seen);
  interrupt = false;
  const int64_t before = engine_->fed();
  options_.max_tokens = 1;
  EXPECT_EQ(chat_->say("Go on", options_, {}).read_again, 0);
  EXPECT_LT(engine_->fed() - before, 40);
}

TEST_F(OneConversation, AnInterruptBeforeTheAnswerTakesTheMessageBack) {
  chat_->say("Hello", options_, {});
  const auto before = chat_->messages();
  const Snapshot state = state_of(*chat_);
  std::atomic<bool> interrupt = true;
  options_.interrupt = &interrupt;
  EXPECT_TRUE(chat_->say("More", options_, {}).taken_back);
  EXPECT_TRUE(chat_->regenerate(options_, {}).taken_back);
  EXPECT_EQ(chat_->messages().size(), before.size());
  EXPECT_EQ(state_of(*chat_)->planes, state->planes);
  EXPECT_EQ(chat_->messages().back().content, before.back().content);
}

TEST_F(OneConversation, AnotherAnswerIsAnotherOne) {
  chat_->say("Hello", options_, {});
  const std::string first = chat_->messages().back().content;
  chat_->regenerate(options_, {});
  EXPECT_NE(chat_->messages().back().content, first);
  EXPECT_EQ(chat_->messages().size(), 2u);
  EXPECT_EQ(chat_->counts().read_again, 0);
}

TEST_F(OneConversation, GoesOnFromATextWithoutMessages) {
  const auto session = engine_->session(History::keep);
  const std::vector<int32_t> ids = engine_->encode_prompt("Once upon a time");
  session->feed(ids);
  const int64_t before = engine_->fed();
  chat_->load({session->snapshot(), 1, 0, DType::f32}, "F");
  EXPECT_EQ(engine_->fed(), before);
  EXPECT_TRUE(chat_->messages().empty());
  chat_->say("Hello", options_, {});
  const Snapshot state = state_of(*chat_);
  EXPECT_TRUE(decode(*engine_->tokenizer(), state->ids)
                  .starts_with("Once upon a timeUser: Hello\nAssistant:"));
  chat_->undo(9);
  EXPECT_EQ(state_of(*chat_)->ids, ids);
  chat_->clear();
  EXPECT_EQ(chat_->counts().tokens, 0);
}

TEST_F(OneConversation, ASystemMessageChangedLaterIsReadAtTheBeginning) {
  chat_->say("Hello", options_, {});
  chat_->set_system("Be brief.");
  EXPECT_GT(chat_->say("Again", options_, {}).read_again, 0);
  EXPECT_TRUE(decode(*engine_->tokenizer(), state_of(*chat_)->ids)
                  .starts_with("Be brief.\n\nUser: Hello\n"));
  EXPECT_EQ(chat_->messages().front().role, "system");
}

TEST_F(OneConversation, ATemplateThatRefusesChangesNothing) {
  const ChatFormat format(*engine_, folder_.write("t", R"({% for m in messages %}
{% if m.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}
{{ m.content }}{% if m.content == 'bad' %}{{ raise_exception('bad message') }}{% endif %}
{% endfor %})"));
  Conversation chat(*engine_, format);
  chat.say("fine", options_, {});
  EXPECT_THAT(test::message_of<InputError>([&] { chat.set_system("x"); }),
              HasSubstr("/t:2: no system messages"));
  EXPECT_THAT(test::message_of<InputError>([&] { chat.say("bad", options_, {}); }),
              HasSubstr("/t:3: bad message"));
  EXPECT_EQ(chat.system(), "");
  EXPECT_EQ(chat.messages().size(), 2u);
  chat.say("fine", options_, {});
  EXPECT_EQ(chat.messages().size(), 4u);
}

TEST_F(OneConversation, BranchesHaveDifferentNames) {
  chat_->fork("b");
  EXPECT_THAT(test::message_of<InputError>([&] { chat_->fork("b"); }), HasSubstr("\"b\" already"));
  EXPECT_THAT(test::message_of<InputError>([&] { chat_->fork(""); }), HasSubstr("a name of 1"));
  EXPECT_THAT(test::message_of<InputError>([&] { chat_->switch_to("c"); }),
              HasSubstr("no branch \"c\""));
  EXPECT_THAT(test::message_of<InputError>(
                  [&] { Conversation(*engine_, *format_).regenerate(options_, {}); }),
              HasSubstr("no answer yet"));
}

TEST_F(OneConversation, NotesThatAreNoConversationAreRefused) {
  chat_->say("Hello", options_, {});
  const std::string notes = chat_->save(0).notes;
  const auto changed = [&](const std::string& pointer, const nlohmann::json& value) {
    auto document = nlohmann::json::parse(notes);
    document[nlohmann::json::json_pointer(pointer)] = value;
    return refusal(document.dump());
  };
  EXPECT_THAT(refusal("{"), HasSubstr("F: the conversation:1:"));
  EXPECT_THAT(refusal("[]"), HasSubstr("F: the conversation: found \"[]\"; expected an object"));
  EXPECT_THAT(changed("/conversation", 2),
              HasSubstr("conversation: found \"2\"; expected a whole"));
  EXPECT_THAT(changed("/branch", "x"), HasSubstr("branch: found \"x\"; expected the name"));
  EXPECT_THAT(changed("/branches", nlohmann::json::array()), HasSubstr("branch: found"));
  EXPECT_THAT(changed("/branches/0/tip", 3), HasSubstr("tip: found \"3\"; expected a whole"));
  EXPECT_THAT(changed("/branches/0/tip", 1), HasSubstr("is not that of the state beside it"));
  EXPECT_THAT(changed("/nodes/0/parent", 1), HasSubstr("parent: found \"1\"; expected a whole"));
  EXPECT_THAT(changed("/nodes/1/base", -1), HasSubstr("base: found \"-1\""));
  EXPECT_THAT(changed("/nodes/1/kind", "start"), HasSubstr("kind: found \"start\""));
  EXPECT_THAT(changed("/nodes/1/ids", {320}), HasSubstr("ids: found \"320\"; expected a whole"));
  EXPECT_THAT(changed("/nodes/1/ids", {1}), HasSubstr("is not that of the state beside it"));
  EXPECT_THAT(changed("/nodes/1/text", 1), HasSubstr("text: found \"1\"; expected a text"));
  EXPECT_EQ(chat_->messages().size(), 2u);
  chat_->say("Still here", options_, {});
}

// As somebody would who knows the checksum: a conversation, or a refusal.
TEST_F(OneConversation, ForgedNotesAreReadOrRefused) {
  chat_->say("Hello", options_, {});
  chat_->fork("b");
  chat_->say("More", options_, {});
  SavedState saved = chat_->save(0);
  const std::string notes = saved.notes;
  std::mt19937 random(5);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    saved.notes = notes;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips)
      saved.notes[random() % notes.size()] = "0123456789\"{}[],:-ae"[random() % 20];
    Conversation other(*engine_, *format_);
    try {
      other.load(saved, "F");
      other.undo(1);
      other.switch_to(other.branches().front().name);
      other.say("x", options_, {});
      ++accepted;
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace krait
