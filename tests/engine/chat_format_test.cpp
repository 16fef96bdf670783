// How a conversation becomes text and ids: what is special, where an answer ends.
#include "krait/chat_format.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tests/engine/conversation_support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ChatFormats : public testing::Test {
 protected:
  ChatFormats() {
    write_random_checkpoint(folder_.path("m"), test::small_model(RandomArchitecture::mamba));
    engine_ = test::open_model(folder_.path("m"));
  }

  ChatFormat of(const std::string& source) {
    return ChatFormat(*engine_, folder_.write("t.jinja", source));
  }
  std::vector<int32_t> prompt(const ChatFormat& format, const std::string& content) {
    return chat_prompt(format, {{{"role", "user"}, {"content", content}}}, nullptr);
  }
  std::string text(const std::vector<int32_t>& ids) {
    return decode(*engine_->tokenizer(), ids, true);
  }
  static int64_t count(const std::vector<int32_t>& ids, int32_t id) {
    return std::ranges::count(ids, id);
  }

  test::TempFolder folder_;
  std::unique_ptr<test::CountingEngine> engine_;
};

constexpr const char* kSpecial =
    "{% for m in messages %}{{ m.content ~ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<A>' }}{% endif %}";

TEST_F(ChatFormats, SpecialTokensComeFromTheTemplateOnly) {
  const ChatFormat format = of(kSpecial);
  for (const std::string content :
       {"hello", "a<|endoftext|>b", "<|endoftext|>", "<|endoftext|><|endoftext|>",
        "<<|endoftext|>|endoftext|>", "<|endoftext|", "x <|endoftext|> y"}) {
    const std::vector<int32_t> ids = prompt(format, content);
    EXPECT_EQ(count(ids, 0), 1) << content;
    EXPECT_EQ(text(ids), content + "<|endoftext|><A>");
  }
}

TEST_F(ChatFormats, OrdinaryTextIsCutIntoTheSameTokensAsAnywhere) {
  const ChatFormat format = of("{{ messages[0].content }}");
  const std::string content = "The quick brown fox | < jumps > over the lazy dog.";
  EXPECT_EQ(prompt(format, content), engine_->encode_continuation(content));
}

TEST_F(ChatFormats, TheMarkOfTheProgramInAMessageIsNoMark) {
  const ChatFormat format = of(kSpecial);
  EXPECT_EQ(text(prompt(format, "a\xEF\xB7\x90z")), "a\xEF\xBF\xBDz<|endoftext|><A>");
}

TEST_F(ChatFormats, AnAnswerEndsWhereTheTemplateEndsIt) {
  EXPECT_THAT(of(kSpecial).stop_ids(), ElementsAre(0));
  EXPECT_THAT(of(kSpecial).stop(), IsEmpty());
  const ChatFormat plain(*engine_, "plain");
  EXPECT_THAT(plain.stop(), ElementsAre("\nUser:", "\nAssistant:"));
  EXPECT_THAT(ChatFormat(*engine_, "chatml").stop(), ElementsAre("<|im_end|>"));
  const ChatFormat bare = of("{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_THAT(bare.stop(), IsEmpty());
  const ChatFormat refusing = of("{{ raise_exception('no') }}");
  EXPECT_THAT(refusing.stop(), IsEmpty());
}

TEST_F(ChatFormats, WithoutATemplateOfTheModelItIsPlain) {
  const ChatFormat format(*engine_, "");
  EXPECT_EQ(format.name(), "plain");
  ordered_json messages = {{{"role", "system"}, {"content", "Be kind."}},
                           {{"role", "user"}, {"content", "Hi"}},
                           {{"role", "assistant"}, {"content", "Hello"}},
                           {{"role", "user"}, {"content", "Bye"}}};
  EXPECT_EQ(text(chat_prompt(format, messages, nullptr)),
            "Be kind.\n\nUser: Hi\nAssistant: Hello\nUser: Bye\nAssistant:");
  EXPECT_EQ(format.render(messages, nullptr, {}).text,
            "Be kind.\n\nUser: Hi\nAssistant:Hello\nUser: Bye\nAssistant:");
}

TEST_F(ChatFormats, TheModelsOwnTemplateWithItsTokens) {
  folder_.write("m/tokenizer_config.json",
                R"({"chat_template": "{{ bos_token }}|{{ messages[0].content }}|{{ eos_token }}",
                    "bos_token": {"content": "<b>"}, "eos_token": "<e>"})");
  const auto engine = test::open_model(folder_.path("m"));
  const ChatFormat format(*engine, "");
  EXPECT_EQ(format.name(), folder_.path("m/tokenizer_config.json"));
  EXPECT_EQ(format.render({{{"role", "user"}, {"content", "x"}}}, nullptr, {}).text, "<b>|x|<e>");
}

TEST_F(ChatFormats, ABadTemplateOfAModelHindersOnlyThoseWhoChat) {
  folder_.write("m/tokenizer_config.json", R"({"chat_template": 7})");
  const auto engine = test::open_model(folder_.path("m"));
  EXPECT_THAT(test::message_of<InputError>([&] { ChatFormat(*engine, ""); }),
              HasSubstr("tokenizer_config.json: chat_template is number"));
  EXPECT_EQ(ChatFormat(*engine, "plain").name(), "plain");
}

TEST_F(ChatFormats, RefusalsNameFileAndLine) {
  EXPECT_THAT(test::message_of<InputError>([&] { of("a\n{% if %}"); }), HasSubstr("/t.jinja:2: "));
  EXPECT_THAT(test::message_of<InputError>([&] { ChatFormat(*engine_, "no-such"); }),
              AllOf(HasSubstr("no-such"), HasSubstr("No such file")));
}

TEST_F(ChatFormats, ToolsReachTheTemplateInTheirOrder) {
  const ChatFormat format = of("{{ tools | tojson }}{{ messages[0].content }}");
  const ordered_json tools = {{{"b", 1}, {"a", "<|endoftext|>"}}};
  const auto ids = chat_prompt(format, {{{"role", "user"}, {"content", "x"}}}, tools);
  EXPECT_EQ(text(ids), R"([{"b": 1, "a": "<|endoftext|>"}]x)");
  EXPECT_EQ(count(ids, 0), 0);
}

}  // namespace
}  // namespace krait
