#include "src/base/json.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "krait/error.h"
#include "src/base/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using nlohmann::json;
using test::message_of;
using testing::HasSubstr;
using testing::StartsWith;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string refusal(const std::string& text) {
  return message_of<InputError>([&] { parse_json(text, "x.json"); });
}

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Json, ReadsEveryKindOfValue) {
  const json value = parse_json(
      R"( {"a": [1, -2, 2.5, 1e3, true, false, null, "x\n\u00e9\ud83d\ude00"], "b": {}} )", "x");
  const json expected = {{"a", {1, -2, 2.5, 1000.0, true, false, nullptr, "x\né😀"}},
                         {"b", json::object()}};
  EXPECT_EQ(value, expected);
  EXPECT_TRUE(value["a"][0].is_number_unsigned());
  EXPECT_TRUE(value["a"][1].is_number_integer());
  EXPECT_TRUE(value["a"][3].is_number_float());
}

TEST(Json, ReadsScalarDocuments) {
  EXPECT_EQ(parse_json("17", "x"), 17);
  EXPECT_EQ(parse_json("\"\"", "x"), "");
  EXPECT_EQ(parse_json(" null\n", "x"), nullptr);
}

TEST(Json, KeepsTheLimitsOf64BitIntegers) {
  EXPECT_EQ(parse_json("18446744073709551615", "x").get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(parse_json("-9223372036854775808", "x").get<int64_t>(), INT64_MIN);
}

TEST(Json, AcceptsNonFiniteNumbers) {
  const json value =
      parse_json(R"({"NaN": [NaN,Infinity,-Infinity], "b":Infinity , "c": "z"})", "x");
  EXPECT_TRUE(std::isnan(value["NaN"][0].get<double>()));
  EXPECT_EQ(value["NaN"][1], kInfinity);
  EXPECT_EQ(value["NaN"][2], -kInfinity);
  EXPECT_EQ(value["b"], kInfinity);
  EXPECT_EQ(value["c"], "z");
  EXPECT_EQ(parse_json("-Infinity", "x"), -kInfinity);
}

TEST(Json, LeavesNonFiniteWordsInsideStringsAlone) {
  const json value = parse_json(R"(["NaN", "\"Infinity", "-Infinity\\", NaN, "N"])", "x");
  EXPECT_EQ(value[0], "NaN");
  EXPECT_EQ(value[1], "\"Infinity");
  EXPECT_EQ(value[2], "-Infinity\\");
  EXPECT_TRUE(value[3].is_number());
  EXPECT_EQ(value[4], "N");
}

TEST(Json, RefusesNonFiniteLookalikes) {
  for (const char* text : {"nan", "inf", "Inf", "NaNs", "+Infinity", "--Infinity", "-NaN", "1NaN",
                           "Infinity0", "[NaN NaN]", "-"})
    EXPECT_THAT(refusal(text), StartsWith("x.json:1:")) << text;
}

TEST(Json, RefusesANonFiniteKey) {
  EXPECT_THAT(refusal("{NaN: 1}"), HasSubstr("expected a string as the key"));
  EXPECT_THAT(refusal("{\"a\": {-Infinity: 1}}"), HasSubstr("expected a string as the key"));
}

TEST(Json, LimitsHowManyNumbersAreNotFinite) {
  std::string many = "[1";
  for (int i = 0; i < 1'000'001; ++i) many += ",NaN";
  EXPECT_THAT(refusal(many + ",2]"), HasSubstr("too many numbers that are not finite"));
}

TEST(Json, ToleratesAByteOrderMark) { EXPECT_EQ(parse_json("\xef\xbb\xbf[1]", "x")[0], 1); }

TEST(Json, RefusesDuplicateKeysAtEveryDepth) {
  EXPECT_THAT(refusal("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}"),
              testing::AllOf(StartsWith("x.json:3:"), HasSubstr("duplicate key \"a\"")));
  EXPECT_THAT(refusal(R"([{"k": {"b": 1, "b": 1}}])"), HasSubstr("duplicate key \"b\""));
  EXPECT_THAT(refusal(R"({"a": 1, "\u0061": 1})"), HasSubstr("duplicate key \"a\""));
}

TEST(Json, AllowsTheSameKeyInDifferentObjects) {
  EXPECT_EQ(parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "x")["b"][1]["a"], 2);
}

TEST(Json, LimitsTheDepthTo256) {
  EXPECT_TRUE(parse_json(nested(256), "x").is_array());
  EXPECT_THAT(refusal(nested(257)),
              testing::AllOf(StartsWith("x.json:1:257: "), HasSubstr("nested deeper than 256")));
  std::string objects;
  for (int i = 0; i < 257; ++i) objects += "{\"a\":";
  EXPECT_THAT(refusal(objects), HasSubstr("nested deeper than 256"));
  EXPECT_THAT(refusal(std::string(10'000'000, '[')), HasSubstr("nested deeper than 256"));
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[{}],";
  EXPECT_EQ(parse_json(wide + "1]", "x").size(), 1001);
}

TEST(Json, RefusesBytesAfterTheDocument) {
  EXPECT_THAT(refusal("{} x"), StartsWith("x.json:1:4: "));
  EXPECT_THAT(refusal("[1]]"), StartsWith("x.json:1:4: "));
  EXPECT_THAT(refusal("1 2"), StartsWith("x.json:1:3: "));
}

TEST(Json, RefusesNulBytesEverywhere) {
  using namespace std::string_literals;
  EXPECT_THAT(refusal("{}\0"s), StartsWith("x.json:1:3: not valid JSON: a NUL byte"));
  EXPECT_THAT(refusal("{}\0{"s), HasSubstr("NUL byte"));
  EXPECT_THAT(refusal("[\"a\0b\"]"s), HasSubstr("NUL byte"));
}

TEST(Json, RefusesInvalidUtf8) {
  for (const char* bytes : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80",
                            "\xe2\x28\xa1", "\xf8\x88\x80\x80\x80"})
    EXPECT_THAT(refusal("[\"" + std::string(bytes) + "\"]"), HasSubstr("UTF-8"));
  EXPECT_THAT(refusal("[\xc3\xa9]"), StartsWith("x.json:1:"));
}

TEST(Json, RefusesMalformedText) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1,",
                           "[1,]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "[01]",
                           "[1.]",
                           "[.5]",
                           "[1e]",
                           "[+1]",
                           "tru",
                           "[\"a]",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\t\"",
                           "/* c */ 1",
                           "1 // c",
                           "[1 2]",
                           "]",
                           "}",
                           ","})
    EXPECT_THAT(refusal(text), HasSubstr("not valid JSON")) << text;
}

TEST(Json, RefusesNumbersOutOfRange) {
  EXPECT_THAT(refusal("[1e999]"), HasSubstr("out of the range"));
  EXPECT_THAT(refusal("[-1e999]"), HasSubstr("out of the range"));
}

TEST(Json, NamesSourceLineAndColumn) {
  EXPECT_THAT(refusal("{\n  \"a\": 1,\n  \"é\": x\n}"), StartsWith("x.json:3:8: "));
  EXPECT_THAT(refusal("[NaN,\n -Infinity, x]"), StartsWith("x.json:2:13: "));
  EXPECT_THAT(refusal("[1,\n"), StartsWith("x.json:2:1: "));
  EXPECT_THAT(refusal(""), StartsWith("x.json:1:1: "));
}

TEST(Json, KeepsMessagesShortAndPrintable) {
  const std::string junk(100'000, 'x');
  EXPECT_LT(refusal("[" + junk + "]").size(), 300);
  EXPECT_LT(refusal("[\"" + junk).size(), 300);
  EXPECT_LT(refusal("{\"" + junk + "\":1,\"" + junk + "\":1}").size(), 300);
  const std::string message = refusal("[\"\x1b[31m\xff\"]");
  for (const char c : message) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << message;
}

TEST(Json, SurvivesEveryTruncation) {
  const std::string text =
      "{\"a\": [1, -2.5e3, NaN, -Infinity, \"\\u00e9\xc3\xa9\", true, null], \"b\": {\"c\": []}}";
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_THROW(parse_json(text.substr(0, size), "x"), InputError) << size;
  EXPECT_NO_THROW(parse_json(text, "x"));
}

TEST(Json, SurvivesDamagedBytes) {
  const std::string text =
      "{\"a\": [1, -2.5e3, NaN, -Infinity, \"\\u00e9\xc3\xa9\", true, null], \"b\": {\"c\": []}}";
  std::mt19937 random(5);
  int read = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = text;
    for (int places = 1 + static_cast<int>(random() % 3); places > 0; --places)
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    try {
      parse_json(damaged, "x");
      ++read;
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 500);
}

TEST(QuotedText, IsEscapedAndCut) {
  EXPECT_EQ(quote("a.b"), "\"a.b\"");
  EXPECT_EQ(quote("\"\x1b\x7f\n\xc2\x9b"), R"("\"\u001b\u007f\n\u009b")");
  EXPECT_EQ(quote("\xff"), R"("\ufffd")");
  EXPECT_EQ(quote(std::string(1000, 'a')), "\"" + std::string(80, 'a') + "...\"");
}

TEST(JsonFile, IsRead) {
  const test::TempFolder folder;
  EXPECT_EQ(read_json_file(folder.write("a.json", "{\"a\": 1}"))["a"], 1);
}

TEST(JsonFile, IsNamedInErrors) {
  const test::TempFolder folder;
  const auto error = [](const std::string& path) {
    return message_of<InputError>([&] { read_json_file(path); });
  };
  const std::string bad = folder.write("bad.json", "{\n");
  EXPECT_THAT(error(bad), StartsWith(bad + ":2:1: "));
  EXPECT_THAT(error(folder.write("empty.json", "")), HasSubstr("empty.json:1:1: "));
  EXPECT_THAT(error(folder.path("none.json")),
              testing::AllOf(HasSubstr("none.json"), HasSubstr("No such file")));
  EXPECT_THAT(error(folder.path()), HasSubstr("it is a folder"));
  EXPECT_THAT(error("/dev/zero"), HasSubstr("not a regular file"));
}

TEST(TextFile, IsRefusedAboveTheLimit) {
  const test::TempFolder folder;
  const std::string path = folder.write("a", "12345");
  EXPECT_EQ(read_text_file(path, 5), "12345");
  EXPECT_THAT(message_of<InputError>([&] { read_text_file(path, 4); }),
              HasSubstr("has 5 bytes; expected at most 4"));
}

}  // namespace
}  // namespace krait
