#include "src/engine/batch_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

BatchRequest parse(std::string_view line) { return parse_json_request(line, {}); }

TEST(BatchRequest, ReadsOpenAisCompletionLines) {
  const BatchRequest r = parse(
      R"({"custom_id": "a-1", "method": "POST", "url": "/v1/completions", "body": {
          "model": "any", "prompt": "Once", "max_tokens": 7, "temperature": 0.5, "top_p": 0.25,
          "top_k": 3, "min_p": 0.125, "typical_p": 0.5, "repetition_penalty": 1.5,
          "repeat_last_n": -1, "presence_penalty": 0.5, "frequency_penalty": -0.5,
          "logit_bias": {"12": -100, "13": 1.5}, "seed": 42, "stop": ["x", "y"], "n": 2,
          "best_of": 4, "logprobs": 3, "echo": true, "ignore_eos": true, "stream": false,
          "suffix": null, "user": "u"}})");
  EXPECT_EQ(r.custom_id, "a-1");
  EXPECT_FALSE(r.chat);
  EXPECT_EQ(r.prompt, "Once");
  EXPECT_EQ(r.options.max_tokens, 7);
  const SamplingOptions& s = r.options.sampling;
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_p, 0.25f);
  EXPECT_EQ(s.top_k, 3);
  EXPECT_EQ(s.min_p, 0.125f);
  EXPECT_EQ(s.typical_p, 0.5f);
  EXPECT_EQ(s.repeat_penalty, 1.5f);
  EXPECT_EQ(s.penalty_last_n, -1);
  EXPECT_EQ(s.presence_penalty, 0.5f);
  EXPECT_EQ(s.frequency_penalty, -0.5f);
  EXPECT_THAT(s.logit_bias, ElementsAre(std::pair(12, -100.0f), std::pair(13, 1.5f)));
  EXPECT_EQ(r.options.seed, 42u);
  EXPECT_TRUE(r.has_seed);
  EXPECT_THAT(r.options.stop, ElementsAre("x", "y"));
  EXPECT_EQ(r.n, 2);
  EXPECT_EQ(r.best_of, 4);
  EXPECT_EQ(r.options.logprobs, 3);
  EXPECT_TRUE(r.echo);
  EXPECT_TRUE(r.options.ignore_eos);
}

TEST(BatchRequest, ReadsChatLinesAndKeepsTheOrderOfMembers) {
  const BatchRequest r = parse(
      R"({"custom_id": "c", "url": "/v1/chat/completions", "body": {"logprobs": true,
          "top_logprobs": 2, "messages": [{"role": "user", "content": "Hi", "b": 1, "a": 2}],
          "tools": [{"z": 1, "a": 2}]}})");
  EXPECT_TRUE(r.chat);
  EXPECT_EQ(r.messages.dump(), R"([{"role":"user","content":"Hi","b":1,"a":2}])");
  EXPECT_EQ(r.tools.dump(), R"([{"z":1,"a":2}])");
  EXPECT_EQ(r.options.logprobs, 2);
}

TEST(BatchRequest, ReadsBareObjects) {
  EXPECT_EQ(parse(R"({"prompt": "Once", "custom_id": "x"})").custom_id, "x");
  EXPECT_THAT(parse(R"({"prompt": [5, 6]})").prompt_ids, ElementsAre(5, 6));
  EXPECT_TRUE(parse(R"({"messages": [{"role": "user", "content": "Hi"}]})").chat);
  EXPECT_EQ(parse(R"({"prompt": "a", "n": 3})").best_of, 3);
}

TEST(BatchRequest, WhatALineDoesNotSayComesFromTheDefaults) {
  GenerateOptions defaults;
  defaults.max_tokens = 5;
  defaults.sampling.temperature = 1.25f;
  defaults.stop = {"END"};
  const BatchRequest r = parse_json_request(R"({"prompt": "a", "temperature": null})", defaults);
  EXPECT_EQ(r.options.max_tokens, 5);
  EXPECT_EQ(r.options.sampling.temperature, 1.25f);
  EXPECT_THAT(r.options.stop, ElementsAre("END"));
  EXPECT_FALSE(r.has_seed);
}

TEST(BatchRequest, KeepsTheOrderOfMembers) {
  const std::string messages = R"([{"role":"user","content":[{"z":1,"a":[{}],"m":null}]}])";
  EXPECT_EQ(parse("{\"messages\": " + messages + "}").messages.dump(), messages);
}

TEST(BatchRequest, RefusesByName) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{", "the line:1:2"},
      {"[1]", "the line is [1]; expected an object"},
      {R"({"custom_id": 5, "prompt": "a"})", "custom_id is 5; expected a text"},
      {R"({"prompt": 5})", "prompt is 5; expected a text or an array of token ids"},
      {R"({"prompt": []})", "prompt is []; expected a text or an array of token ids"},
      {R"({"prompt": [-1]})", "prompt is -1; expected a whole number from 0"},
      {R"({"prompt": ["a", "b"]})", "expected a text or an array of token ids"},
      {R"({"prompt": "a", "temprature": 1})", "there is no parameter \"temprature\""},
      {R"({"prompt": "a", "temperature": "hot"})", "temperature is \"hot\"; expected a number"},
      {R"({"prompt": "a", "temperature": -1})", "-1"},
      {R"({"prompt": "a", "max_tokens": 1.5})", "max_tokens is 1.5; expected a whole number"},
      {R"({"prompt": "a", "max_tokens": 18446744073709551615})", "expected a whole number"},
      {R"({"prompt": "a", "n": 0})", "n is 0; expected a whole number from 1 to 128"},
      {R"({"prompt": "a", "stop": [""]})", "stop is [\"\"]; expected a text"},
      {R"({"prompt": "a", "logit_bias": {"x": 1}})", "expected token ids as keys"},
      {R"({"prompt": "a", "stream": true})", "stream is true; expected false"},
      {R"({"prompt": "a", "logprobs": true})", "logprobs is true; expected a whole number"},
      {R"({"prompt": "a", "x": Infinity})", "Infinity and NaN are no JSON"},
      {R"({"prompt": "a", "prompt": "b"})", "prompt"},
      {R"({"messages": []})", "messages is []; expected an array of objects"},
      {R"({"messages": [{"content": "a"}]})", "each with a \"role\""},
      {R"({"custom_id": "a"})", "prompt is missing"},
      {R"({"url": "/v1/embeddings", "body": {}})", "url is \"/v1/embeddings\"; expected"},
      {R"({"url": "/v1/completions"})", "body is null; expected an object"},
      {R"({"url": "/v1/completions", "method": "GET", "body": {}})", "method is \"GET\""},
      {R"({"url": "/v1/completions", "boby": 1, "body": {}})", "there is no member \"boby\""},
      {R"({"url": "/v1/chat/completions", "body": {"prompt": "a"}})", "messages is missing"},
      {R"({"prompt": "a", "response_format": {"type": "json_object"}})", "response_format is"},
  };
  for (const auto& [line, message] : kCases)
    EXPECT_THAT(message_of<InputError>([&, l = line] { parse(l); }), HasSubstr(message)) << line;
}

TEST(BatchRequest, DeepNestingIsRefusedNotFollowed) {
  const std::string deep = R"({"prompt": )" + std::string(100000, '[');
  EXPECT_THAT(message_of<InputError>([&] { parse(deep); }), HasSubstr("nest"));
}

TEST(BatchRequest, TheCustomIdOfARefusedLineIsStillTold) {
  EXPECT_EQ(custom_id_of(R"({"custom_id": "x", "url": 5})"), "x");
  EXPECT_EQ(custom_id_of(R"({"custom_id": 7})"), "");
  EXPECT_EQ(custom_id_of("{"), "");
  EXPECT_EQ(custom_id_of(R"({"a": {"custom_id": "x"}, "b": [{"custom_id": "x"}]})"), "");
  EXPECT_EQ(custom_id_of(R"([{"custom_id": "x"}])"), "");
  EXPECT_EQ(custom_id_of(R"({"custom_id": ["x"]})"), "");
  EXPECT_EQ(custom_id_of(R"({"a": ["b"], "custom_id": "x", "prompt": [)"), "x");
  // Not followed into its depth: a tree of it would take gigabytes.
  EXPECT_EQ(custom_id_of(R"({"custom_id": "x", "prompt": )" + std::string(20'000'000, '[')), "x");
}

}  // namespace
}  // namespace krait
