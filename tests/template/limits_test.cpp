// No template can hang, overflow the stack or take all memory.
#include <chrono>
#include <random>
#include <thread>

#include "tests/template/render.h"

namespace krait::test {
namespace {

using ::testing::HasSubstr;

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(TemplateLimits, SizeOfTheSource) {
  TemplateLimits limits;
  limits.source_bytes = 10;
  EXPECT_EQ(render("0123456789", {}, limits), "0123456789");
  EXPECT_THAT(error_of("0123456789a", {}, limits), HasSubstr("has 11 bytes; expected at most 10"));
}

TEST(TemplateLimits, NestingOfTheSource) {
  const auto nested = [](const std::string& open, const std::string& middle,
                         const std::string& close, int times) {
    return repeated(open, times) + middle + repeated(close, times);
  };
  EXPECT_EQ(render("{{ " + nested("(", "1", ")", 30) + " }}"), "1");
  EXPECT_EQ(render(nested("{% if true %}", "x", "{% endif %}", 90)), "x");
  for (const std::string& source :
       {"{{ " + nested("(", "1", ")", 100'000) + " }}",
        "{{ " + nested("[", "", "]", 100'000) + " }}",
        "{{ " + nested("{1:", "1", "}", 100'000) + " }}",
        "{{ " + nested("f(", "", ")", 100'000) + " }}", "{{ " + repeated("not ", 100'000) + "1 }}",
        "{{ " + repeated("-", 100'000) + "1 }}", "{{ a" + nested("[a", "", "]", 100'000) + " }}",
        "{{ " + repeated("1 if 1 else ", 50'000) + "1 }}",
        nested("{% if true %}", "x", "{% endif %}", 30'000),
        nested("{% for a in b %}", "x", "{% endfor %}", 30'000),
        "{% set " + nested("(", "a", ")", 100'000) + " = 1 %}"})
    EXPECT_THAT(error_of(source), HasSubstr("nested deeper than 100 levels"))
        << source.substr(0, 40);
}

TEST(TemplateLimits, LengthOfOneExpression) {
  EXPECT_EQ(render("{{ 0" + repeated(" + 1", 200) + " }}"), "200");
  for (const std::string& source :
       {"{{ 1" + repeated(" + 1", 100'000) + " }}", "{{ 1" + repeated(" * 1", 100'000) + " }}",
        "{{ a" + repeated(".a", 100'000) + " }}", "{{ a" + repeated("()", 100'000) + " }}",
        "{{ a" + repeated("[1]", 100'000) + " }}", "{{ a" + repeated("|d", 100'000) + " }}",
        "{{ 1" + repeated(" ** 1", 100'000) + " }}", "{{ 1" + repeated(" if 1", 100'000) + " }}",
        "{% filter d" + repeated("|d", 100'000) + " %}{% endfilter %}"})
    EXPECT_THAT(error_of(source), HasSubstr("an expression of more than 250 operations"))
        << source.substr(0, 40);
  // These are flat, however long.
  EXPECT_EQ(render("{{ 1" + repeated(" and 1", 5000) + " }}"), "1");
  EXPECT_EQ(render("{{ ''" + repeated(" ~ ''", 5000) + " }}"), "");
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 5000) + "{% endif %}"), "");
}

TEST(TemplateLimits, RecursionWhileRendering) {
  const std::string macro = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}";
  EXPECT_EQ(render(macro + "{{ f(20) }}"), "");
  EXPECT_THAT(error_of(macro + "{{ f(100000) }}"), HasSubstr("evaluation nested deeper than 400"));
  EXPECT_THAT(error_of("{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}"),
              HasSubstr("evaluation nested deeper than 400"));
  EXPECT_THAT(error_of("{% macro f(a=f()) %}{% endmacro %}{{ f() }}"),
              HasSubstr("evaluation nested deeper than 400"));
}

// Threads of other programs may have small stacks.
TEST(TemplateLimits, RecursionFitsASmallStack) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 1 << 20), 0);
  const auto run = [](void*) -> void* {
    error_of("{% macro f(a=f()) %}{% endmacro %}{{ f() }}");
    error_of("{{ " + repeated("[", 100'000) + " }}");
    error_of(
        "{% set ns = namespace(x=1) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor "
        "%}");
    return nullptr;
  };
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, run, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(TemplateLimits, NestingOfValues) {
  const std::string grow = "{% set ns = namespace(x=1) %}{% for i in range(99999) %}";
  for (const std::string step :
       {"{% set ns.x = [ns.x] %}", "{% set ns.x = {'a': ns.x} %}", "{% set ns.x = (ns.x,) %}",
        "{% set ns.x = dict(a=ns.x) %}", "{% set ns.x = [[ns.x].index] %}",
        "{% for y in [ns.x] %}{% set ns.x = loop %}{% endfor %}",
        "{% for y in [ns.x] %}{% set ns.x = [loop.cycle] %}{% endfor %}"})
    EXPECT_THAT(error_of(grow + step + "{% endfor %}"), HasSubstr("nested deeper than 200"))
        << step;
  nlohmann::ordered_json deep = 1;
  for (int i = 0; i < 300; ++i) deep = nlohmann::ordered_json::array({std::move(deep)});
  EXPECT_THAT(error_of("x", {{"deep", deep}}), HasSubstr("variables are nested deeper than 200"));
}

// The leak checker of the sanitizer builds watches these.
TEST(TemplateLimits, ValuesThatHoldThemselvesAreFreed) {
  EXPECT_EQ(
      render("{% set ns = namespace() %}{% set ns.self = ns %}{% set ns.list = [ns, [ns]] %}x"),
      "x");
  EXPECT_EQ(render("{% macro f() %}{% macro g() %}{% endmacro %}{% endmacro %}{{ f() }}"), "");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in range(30000) %}"
                   "{% set ns.x = namespace(x=ns.x) %}{% endfor %}x"),
            "x");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in range(30000) %}"
                   "{% macro f() %}{{ ns }}{% endmacro %}{% set ns.f = f %}{% endfor %}x"),
            "x");
}

TEST(TemplateLimits, Steps) {
  const std::string end = "{% endfor %}";
  TemplateLimits limits;
  limits.steps = 1000;
  EXPECT_EQ(render("{% for a in range(100) %}{% endfor %}", {}, limits), "");
  EXPECT_THAT(error_of("{% for a in range(1001) %}{% endfor %}", {}, limits),
              HasSubstr("takes more than 1000 steps"));
  EXPECT_THAT(
      error_of("{% set l = range(9999) %}" + repeated("{% for a in l %}", 4) + repeated(end, 4)),
      HasSubstr("takes more than 20000000 steps"));
}

// Each would take hours without a limit.
TEST(TemplateLimits, NothingTakesLong) {
  TemplateLimits limits;
  limits.steps = 2'000'000;  // a tenth of the default: the time grows in proportion
  const auto start = std::chrono::steady_clock::now();
  const std::string big = "{% set s = 'a' * 4000000 %}{% for i in range(99999) %}";
  for (const std::string body :
       {"{% if s == s ~ '' %}{% endif %}", "{% if 'b' in s %}{% endif %}", "{{ s|length == 1 }}",
        "{{ s.find('b') }}", "{{ s[5] }}", "{{ s|wordcount }}", "{{ s.count('b') }}", "{{ s < s }}",
        "{{ s.strip('b') == '' }}", "{{ s|upper == '' }}", "{{ s.isalpha() }}", "{{ s is upper }}",
        "{{ s|replace('b', '') == '' }}", "{{ s.split() == [] }}", "{{ s|list == [] }}",
        "{{ s|tojson == '' }}", "{{ [s]|string == '' }}", "{{ s.endswith(s) }}",
        "{{ s[::-1] == '' }}"})
    EXPECT_NE(error_of(big + body + "{% endfor %}", {}, limits), "") << body;
  EXPECT_NE(error_of("{% set l = [1] * 1000000 %}{% for i in range(99) %}{{ 2 in l }}{% endfor %}",
                     {}, limits),
            "");
  // Searches that are quadratic when done simply.
  render(
      "{% set s = 'a' * 4000000 %}{{ (s ~ 'b') in s }}{{ (('a' * 2000000) ~ 'b') in s }}"
      "{{ s.find('a' * 2000000 ~ 'b') }}{{ s.rfind('b' ~ 'a' * 2000000) }}");
  render("{{ ('a ' * 500000).rsplit()|length }}{{ ('a ' * 500000).rsplit(' ')|length }}");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(TemplateLimits, BytesOfValues) {
  TemplateLimits limits;
  limits.value_bytes = 100'000;
  EXPECT_EQ(render("{{ ('a' * 20000)|length }}", {}, limits), "20000");
  for (const std::string source :
       {"{{ ('a' * 200000)|length }}", "{{ ([1] * 200000)|length }}", "{{ range(50000)|length }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% "
        "endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% "
        "endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% "
        "endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% "
        "endfor %}"
        "{{ ns.s|string|length }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% "
        "endfor %}"
        "{{ ns.s|tojson(indent=100)|length }}",
        "{{ ('a' * 1000).replace('a', 'b' * 1000)|length }}",
        "{{ ([''] * 1000)|join('b' * 1000)|length }}",
        "{{ ('\n' * 1000)|indent('b' * 1000, blank=true)|length }}",
        "{{ 'a' * 9223372036854775807 }}", "{{ 'ab' * 9223372036854775807 }}",
        "{{ [1, 2] * 9223372036854775807 }}"})
    EXPECT_THAT(error_of(source, {}, limits),
                ::testing::AnyOf(HasSubstr("makes more than 100000 bytes of values"),
                                 HasSubstr("a value too large")))
        << source;
  EXPECT_THAT(
      error_of("{{ [1] * -9223372036854775807 * 4 }}{{ '' * 9223372036854775807 }}{{ 1/0 }}"),
      HasSubstr("division by zero"));
}

TEST(TemplateLimits, BytesOfOutput) {
  TemplateLimits limits;
  limits.output_bytes = 1000;
  EXPECT_EQ(render("{{ 'a' * 1000 }}", {}, limits).size(), 1000u);
  for (const std::string source :
       {"{{ 'a' * 1001 }}", "{% for i in range(1001) %}a{% endfor %}",
        "{% set x %}{% for i in range(1001) %}a{% endfor %}{% endset %}",
        "{% macro m() %}{% for i in range(1001) %}a{% endfor %}{% endmacro %}{{ m()|length }}",
        "{% filter length %}{% for i in range(1001) %}a{% endfor %}{% endfilter %}"})
    EXPECT_THAT(error_of(source, {}, limits), HasSubstr("writes more than 1000 bytes")) << source;
}

TEST(TemplateLimits, IntegersOf64Bits) {
  for (const std::string source :
       {"{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}",
        "{{ 9223372036854775807 * 2 }}", "{{ 2 ** 63 }}", "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ -(-9223372036854775807 - 1) }}", "{{ (-9223372036854775807 - 1)|abs }}",
        "{{ 9223372036854775808 }}", "{{ '9223372036854775808'|int }}", "{{ 1e300|int }}",
        "{{ 9223372036854775807|round(-2) }}", "{{ [9223372036854775807, 1]|sum }}"})
    EXPECT_THAT(error_of(source), HasSubstr("64 bits")) << source;
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}{{ 3 ** 39 }}"), "04052555153018976267");
  EXPECT_EQ(render("{{ 'abc'[-9223372036854775807 - 1:9223372036854775807:9223372036854775807] }}"),
            "a");
  EXPECT_EQ(render("{{ 'abc'[::-9223372036854775807 - 1] }}{{ 'abc'[9223372036854775807] }}"), "c");
  EXPECT_EQ(render("{{ range(-9223372036854775807, 9223372036854775807, "
                   "9223372036854775807)|list|length }}"),
            "2");
  EXPECT_THAT(error_of("{{ range(-9223372036854775807, 9223372036854775807) }}"),
              HasSubstr("range of more"));
  EXPECT_THAT(error_of("x", {{"n", 18446744073709551615u}}), HasSubstr("expected at most 63 bits"));
}

// Templates with bytes changed, cut or doubled: any result is fine, as long as it is one.
TEST(TemplateLimits, DamagedTemplates) {
  const std::string source =
      "{%- macro m(a, b=[1, 2.5e3]) -%}{{ a|join(', ') ~ b[::-1] }}{%- endmacro %}{# c #}"
      "{% set ns = namespace(x='\\u00e9') %}{% for k, v in d.items() if k is not none %}"
      "{%+ if loop.index0 % 2 == 0 and v not in 'abc' %}{{ m([k, v]) if v else '' }}"
      "{% elif x is divisibleby 3 %}{% continue %}{% else %}{% set ns.x = ns.x + v %}{% endif %}"
      "{% else %}{% raw %}{{ }}{% endraw %}{% endfor %}{% call m(d|tojson(indent=2)) %}{% endcall "
      "%}";
  std::mt19937 random(1);
  const auto below = [&random](size_t limit) { return random() % limit; };
  int rendered = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = source;
    for (size_t count = 1 + below(3); count > 0; --count) {
      const size_t at = below(damaged.size());
      const size_t length = 1 + below(8);
      switch (below(4)) {
        case 0: damaged[at] = static_cast<char>(below(256)); break;
        case 1: damaged.erase(at, length); break;
        case 2: damaged.insert(at, damaged.substr(below(damaged.size()), length)); break;
        default: damaged[at] = "{}%-#'\"()[]|.:,~*"[below(17)]; break;
      }
    }
    rendered += try_render(damaged, {{"d", {{"a", "x"}, {"b", "y"}}}, {"x", 3}}).error.empty();
  }
  EXPECT_GT(rendered, 500);
}

}  // namespace
}  // namespace krait::test
