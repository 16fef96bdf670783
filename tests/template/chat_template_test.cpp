// The contract of krait/chat_template.h: errors, time, variables, threads.
#include <thread>
#include <vector>

#include "tests/template/render.h"

namespace krait::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ChatTemplate, ErrorsNameTheTemplateAndTheLine) {
  EXPECT_EQ(error_of("\n\n{{ raise_exception('no tools, please') }}"),
            "test.jinja:3: no tools, please");
  EXPECT_EQ(error_of("a\n{{ x.y.z }}", {{"x", nlohmann::ordered_json::object()}}),
            "test.jinja:2: a value of type dict has no attribute 'y'");
  EXPECT_EQ(error_of("{{ missing.a }}"), "test.jinja:1: 'missing' is undefined");
  EXPECT_EQ(error_of("{% for a\nof b %}"), "test.jinja:2: found 'of'; expected 'in'");
  EXPECT_EQ(
      error_of("\n{% if a %}\nx"),
      "test.jinja:3: found the end of the template; expected 'endif' for the block that begins "
      "in line 2");
  EXPECT_EQ(error_of("{{ 'a' + 1 }}"), "test.jinja:1: '+' does not go with str and int");
  EXPECT_THAT(error_of("{% include 'x' %}"),
              HasSubstr("found 'include'; expected a statement (if, for, set"));
  EXPECT_EQ(error_of("{{ 1|b }}"), "test.jinja:1: there is no filter 'b'");
  EXPECT_EQ(error_of("{{ 1 is b }}"), "test.jinja:1: there is no test 'b'");
  EXPECT_THAT(error_of("{{ [].append(1) }}"), HasSubstr("a list cannot be changed by 'append'"));
  EXPECT_THAT(error_of("{% for a in b recursive %}{% endfor %}"),
              HasSubstr("recursive loops are not supported"));
  EXPECT_THAT(error_of("{% macro m(a) %}{% endmacro %}{{ m(b=1) }}"),
              HasSubstr("macro 'm' has no argument 'b'"));
}

TEST(ChatTemplate, RefusesWhatIsNotUtf8OrNoObject) {
  EXPECT_EQ(error_of("a\xff"), "test.jinja: the template is not valid UTF-8");
  EXPECT_EQ(error_of("a", nlohmann::ordered_json::array()),
            "test.jinja: the variables are of type array; expected an object");
}

TEST(ChatTemplate, RepairsVariables) {
  EXPECT_EQ(render("{{ a }}{{ b|tojson }}{{ a|length }}", {{"a", "x\xff"}, {"b", {{"\xc3", 1}}}}),
            "x\xEF\xBF\xBD{\"\xEF\xBF\xBD\": 1}2");
}

TEST(ChatTemplate, KeepsTheOrderOfKeys) {
  const auto variables = nlohmann::ordered_json::parse(R"({"d": {"z": 1, "a": {"y": 2, "b": 3}}})");
  EXPECT_EQ(render("{{ d|tojson }}{{ d }}", variables),
            R"({"z": 1, "a": {"y": 2, "b": 3}}{'z': 1, 'a': {'y': 2, 'b': 3}})");
}

TEST(ChatTemplate, TimeIsTheCallers) {
  EXPECT_EQ(render("{{ strftime_now('%Y-%m-%d %H:%M:%S %a %A %b %B %j %y %I%p %e|%-d|%-H') }}"),
            "2026-01-02 15:04:05 Fri Friday Jan January 002 26 03PM  2|2|15");
  EXPECT_THAT(error_of("{{ strftime_now('%Q') }}"), HasSubstr("'%Q' is not known"));
  EXPECT_THAT(error_of("{{ strftime_now('%') }}"), HasSubstr("ends inside a directive"));
  EXPECT_THAT(error_of("{{ strftime_now('%999999999Y') }}"), HasSubstr("'%9' is not known"));
  std::tm odd{};
  odd.tm_wday = 99;
  odd.tm_mon = -1;
  EXPECT_EQ(
      ChatTemplate("{{ strftime_now('%a%b') }}", "t").render(nlohmann::ordered_json::object(), odd),
      "??");
}

TEST(ChatTemplate, RendersAnewEachTime) {
  const ChatTemplate made("{% set ns = namespace(n=n) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "t");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(made.render({{"n", 1}}, test_time()), "2");
}

TEST(ChatTemplate, IsSharedBetweenThreads) {
  const ChatTemplate made(
      "{% macro m(a) %}{{ a|upper }}{{ caller() }}{% endmacro %}{% for i in range(n) %}"
      "{% call m('x' ~ i) %}{{ range(2)|list }}{% endcall %}{% endfor %}",
      "t");
  const std::string expected = made.render({{"n", 50}}, test_time());
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (size_t t = 0; t < equal.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) equal[t] += made.render({{"n", 50}}, test_time()) == expected;
    });
  for (std::thread& thread : threads) thread.join();
  for (const int count : equal) EXPECT_EQ(count, 50);
}

// Where krait is documented to differ from Jinja.
TEST(ChatTemplate, WhatPythonMakesLazilyIsAList) {
  EXPECT_EQ(render("{{ range(3) }}{{ {'a': 1}.items() }}{{ ['a']|map('upper') }}"),
            "[0, 1, 2][('a', 1)]['A']");
}

TEST(ChatTemplate, PrintsWhatHasNoTextByKind) {
  EXPECT_EQ(render("{{ range }}{{ namespace(a=1) }}{% for i in [1] %}{{ loop }}{% endfor %}"),
            "<function range><Namespace><LoopContext>");
}

}  // namespace
}  // namespace krait::test
