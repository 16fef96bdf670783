// Conversations, one thing at a time: interrupts, refusals, files.
#include <optional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/conversation.h"
#include "krait/error.h"
#include "tests/engine/conversation_support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::CountingEngine;
using test::printable_answers;
using test::state_of;
using testing::HasSubstr;

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

// What was written beyond the answer, up to the end of the stop string, is not in the state.
TEST_F(OneConversation, AfterAStopStringTheStateStandsBehindTheAnswer) {
  const std::string whole = chat_->say("Hello", options_, {}).answer.text;
  ASSERT_GE(whole.size(), 8u);
  Conversation other(*engine_, *format_);
  options_.stop = {whole.substr(5, 3)};
  EXPECT_EQ(other.say("Hello", options_, {}).answer.finish_reason, FinishReason::stop);
  const std::string answer = other.messages().back().content;
  EXPECT_EQ(answer, whole.substr(0, whole.find(options_.stop[0])));
  const Snapshot state = state_of(other);
  std::string text;
  for (const int32_t id : state->ids) text += engine_->tokenizer()->token_bytes(id);
  EXPECT_THAT(text, testing::EndsWith("Assistant:" + answer));
  const auto replay = engine_->session(History::keep);
  replay->feed(state->ids);
  EXPECT_EQ(replay->snapshot()->planes, state->planes);
}

TEST_F(OneConversation, AnAnswerEndsWithWhatTheTemplatePutsBehindIt) {
  const std::string path = folder_.write(
      "t.jinja",
      "{% for m in messages %}{{ m.content ~ ('e' if m.role == 'assistant' else '#') }}"
      "{{ '\\n' }}{% endfor %}");
  const ChatFormat format(*engine_, path);
  Conversation other(*engine_, format);
  options_.max_tokens = 2000;
  const TurnResult turn = other.say("Hello", options_, {});
  EXPECT_EQ(turn.answer.finish_reason, FinishReason::stop);
  EXPECT_THAT(turn.answer.text, testing::Not(HasSubstr("e")));
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
