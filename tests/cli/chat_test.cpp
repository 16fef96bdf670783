// krait chat from a pipe, and conversations in batches.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run.h"
#include "tests/cli/test_model.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

std::vector<std::string> with(std::vector<std::string> all, const std::vector<std::string>& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

const std::vector<std::string> kSampling = {"-n",          "12", "-s",      "3", "--temp",  "6",
                                            "--top-k",     "0",  "--top-p", "1", "--min-p", "0",
                                            "--ignore-eos"};

std::vector<std::string> chat(const std::vector<std::string>& more = {}) {
  return with(with({"chat", "-m", test_model()}, kSampling), more);
}

// The answers, one object each.
std::vector<json> answers(const std::string& input, const std::vector<std::string>& more = {}) {
  const Result result = run(chat(with({"--json"}, more)), input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<json> out;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) out.push_back(json::parse(line));
  return out;
}

std::vector<std::string> texts(const std::vector<json>& answers) {
  std::vector<std::string> out;
  for (const json& answer : answers) out.push_back(answer["text"]);
  return out;
}

json generated(const std::string& prompt, const std::vector<std::string>& more = {}) {
  return run_json(with(with({"generate", "-m", test_model(), "-p", prompt}, kSampling), more));
}

TEST(Chat, AnAnswerIsWhatGenerateWritesAfterTheSameText) {
  const auto said = answers("Hello\nAgain\n");
  ASSERT_THAT(said, SizeIs(2));
  const json first = generated("User: Hello\nAssistant:");
  EXPECT_EQ(said[0]["ids"], first["ids"]);
  EXPECT_EQ(said[0]["text"], first["text"]);
  EXPECT_EQ(said[0]["usage"]["prompt_tokens"], first["usage"]["prompt_tokens"]);
  EXPECT_EQ(said[1]["usage"]["read_again_tokens"], 0);
  EXPECT_EQ(said[1]["turn"], 2);
}

TEST(Chat, OnlyTheAnswersGoToStandardOutput) {
  const Result result = run(chat(), "Hello\n/branches\n\nAgain\n");
  EXPECT_EQ(result.exit_code, 0);
  std::string expected;
  for (const std::string& text : texts(answers("Hello\nAgain\n")))
    expected += text.substr(text.find_first_not_of(" \t\r\n")) + (text.ends_with('\n') ? "" : "\n");
  EXPECT_EQ(result.out, expected);
  EXPECT_THAT(result.err, AllOf(StartsWith("* main"), HasSubstr("1 turn")));
}

TEST(Chat, BlocksAndSlashes) {
  const auto said = answers("\"\"\"\n/undo\ntwo\n\"\"\"\n//usr\n\"\"\"one\"\"\"\n");
  ASSERT_THAT(said, SizeIs(3));
  EXPECT_EQ(said[0]["ids"], generated("User: /undo\ntwo\nAssistant:")["ids"]);
  EXPECT_EQ(answers("//usr\n")[0]["ids"], generated("User: /usr\nAssistant:")["ids"]);
  EXPECT_EQ(answers("\"\"\"one\"\"\"")[0]["ids"], generated("User: one\nAssistant:")["ids"]);
}

TEST(Chat, GoingBackIsAsIfItHadNotBeenSaid) {
  const auto plain = texts(answers("a\nb\nc\n"));
  const auto said = texts(answers("a\nx\n/undo\nb\n/fork other\ny\nz\n/switch main\nc\n"));
  ASSERT_THAT(said, SizeIs(6));
  EXPECT_EQ(said[0], plain[0]);
  EXPECT_EQ(said[2], plain[1]);
  EXPECT_EQ(said[5], plain[2]);
  const auto again = texts(answers("a\n/regen\n/undo\na\n"));
  EXPECT_NE(again[1], again[0]);
  EXPECT_EQ(again[2], again[0]);
}

TEST(Chat, SavedAndGoneOnWithNothingReadTwice) {
  const test::TempFolder folder;
  const std::string file = folder.path("talk");
  const auto whole = answers("a\nb\nc\n/undo\nd\n");
  run(chat({"--save-state", file}), "a\nb\n");
  const auto rest = answers("c\n/undo\nd\n", {"--load-state", file});
  ASSERT_THAT(rest, SizeIs(2));
  EXPECT_EQ(rest[0]["ids"], whole[2]["ids"]);
  EXPECT_EQ(rest[1]["ids"], whole[3]["ids"]);
  EXPECT_EQ(rest[0]["usage"], whole[2]["usage"]);
  EXPECT_EQ(rest[0]["usage"]["read_again_tokens"], 0);
  const auto loaded = answers("/load " + file + "\nc\n");
  EXPECT_EQ(loaded[0]["ids"], whole[2]["ids"]);
  run(chat(), "a\nb\n/save " + folder.path("other") + "\n");
  EXPECT_EQ(answers("c\n", {"--load-state", folder.path("other")})[0]["ids"], whole[2]["ids"]);
}

TEST(Chat, GoesOnFromWhatGenerateHasSaved) {
  const test::TempFolder folder;
  const std::string file = folder.path("text");
  const json text = generated("Once", {"--save-state", file});
  const auto said = answers("Hello\n", {"--load-state", file});
  EXPECT_EQ(said[0]["usage"]["read_again_tokens"], 0);
  // But for the tokens of a character that the answer ends inside of.
  const int context = said[0]["usage"]["context_tokens"];
  const int all =
      text["usage"]["total_tokens"].get<int>() + said[0]["usage"]["total_tokens"].get<int>();
  EXPECT_LE(context, all);
  EXPECT_GE(context, all - 3);
}

TEST(Chat, MistakesInCommandsDoNotEndIt) {
  const Result result = run(chat(), "/nope\n/load /no/such\n/edit\n/undo\nHello\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.out, "");
  EXPECT_THAT(
      result.err,
      AllOf(HasSubstr("error: there is no command /nope"), HasSubstr("/no/such: No such file"),
            HasSubstr("/edit needs a terminal"), HasSubstr("there is nothing to undo")));
}

TEST(Chat, TheModelsOwnTemplateOrAnother) {
  const ModelCopy model;
  write_file(model.file("chat_template.jinja"),
             "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[answer]");
  const auto said = [&](const std::vector<std::string>& more) {
    const Result r = run(with(with({"chat", "-m", model.path(), "--json"}, kSampling), more), "Hi");
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return json::parse(r.out)["ids"];
  };
  EXPECT_EQ(said({"--system", "Be kind."}),
            generated("[system] Be kind.\n[user] Hi\n[answer]")["ids"]);
  EXPECT_EQ(said({"--chat-template", "plain"}), generated("User: Hi\nAssistant:")["ids"]);
  const test::TempFolder folder;
  const std::string file = folder.write("t", "Q: {{ messages[-1].content }} A:");
  EXPECT_EQ(said({"--chat-template", file}), generated("Q: Hi A:")["ids"]);
}

TEST(Chat, WhatCannotBeUsedIsBadInput) {
  const test::TempFolder folder;
  const auto refused = [&](const std::vector<std::string>& more) {
    const Result result = run(chat(more), "Hello\n");
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  const std::string bad = folder.write("bad.jinja", "fine\n{% endfor %}");
  EXPECT_THAT(refused({"--chat-template", bad}), StartsWith("error: " + bad + ":2: "));
  const std::string angry =
      folder.write("angry.jinja", "\n\n{{ raise_exception('no system message, please') }}");
  EXPECT_THAT(refused({"--chat-template", angry}),
              StartsWith("error: " + angry + ":3: no system message, please"));
  EXPECT_THAT(refused({"--chat-template", "nonesuch"}), HasSubstr("nonesuch: No such file"));
  EXPECT_THAT(refused({"--load-state", "/no/such"}), HasSubstr("/no/such: No such file"));
  EXPECT_THAT(refused({"--load-state", bad}), HasSubstr("bad.jinja: the first bytes"));
  const std::string tales = folder.path("tales");
  run({"chat", "-n", "3", "--save-state", tales}, "Hello\n");
  EXPECT_THAT(refused({"--load-state", tales}), HasSubstr("tales: the model: found \"tales\""));
  EXPECT_THAT(refused({"--save-state", "/no/such/file"}), HasSubstr("/no/such/file"));
  EXPECT_THAT(refused({"--state-dtype", "bf16"}), HasSubstr("--save-state"));
  EXPECT_THAT(refused({"--top-p", "3"}), HasSubstr("--top-p 3"));
}

TEST(Chat, TheBundledModelTalks) {
  const Result result = run({"chat", "-s", "1", "-n", "20"}, "Tell me a story.\nGo on.\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_GT(result.out.size(), 20u);
}

TEST(Chat, AnInterruptSavesWhatWasSaid) {
  const test::TempFolder folder;
  const std::string file = folder.path("talk");
  Process process(chat({"-n", "-1", "--save-state", file}), "Hello\nNever\n");
  ASSERT_TRUE(process.wait_for_output(100));
  process.send(SIGINT);
  const Result result = process.finish();
  EXPECT_EQ(result.exit_code, 130);
  const auto said = answers("/show messages\nGo on\n", {"--load-state", file});
  ASSERT_THAT(said, SizeIs(1));
  EXPECT_EQ(said[0]["turn"], 2);
  EXPECT_EQ(said[0]["usage"]["read_again_tokens"], 0);
}

TEST(Chat, BatchesHoldConversations) {
  const test::TempFolder folder;
  const std::string messages =
      R"("messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])";
  folder.write("in.jsonl",
               R"({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {)" +
                   messages + "}}\n{" + messages + "}\n");
  const Result result = run(with(
      {"batch", "-m", test_model(), "-i", folder.path("in.jsonl"), "-o", folder.path("out.jsonl")},
      kSampling));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json expected = generated("Be kind.\n\nUser: Hi\nAssistant:", {"-s", "4"});
  std::istringstream lines(read_file(folder.path("out.jsonl")));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const json body = json::parse(line)["response"]["body"];
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(body["choices"][0]["message"]["content"], expected["text"]);
  EXPECT_EQ(body["usage"]["prompt_tokens"], expected["usage"]["prompt_tokens"]);
  ASSERT_TRUE(std::getline(lines, line));
}

TEST(Chat, ABatchWithABadTemplateRefusesItsConversationsOnly) {
  const ModelCopy model;
  write_file(model.file("chat_template.jinja"), "{% endfor %}");
  const test::TempFolder folder;
  folder.write("in.jsonl", "{\"prompt\": \"a\"}\n{\"messages\": [{\"role\": \"user\"}]}\n");
  const Result result = run({"batch", "-m", model.path(), "-n", "2", "-i", folder.path("in.jsonl"),
                             "-o", folder.path("out.jsonl")});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("chat_template.jinja:1: "));
}

}  // namespace
}  // namespace krait
