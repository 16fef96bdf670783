// Patterns from files, and the rules for pre-tokenizers with a byte level.
#include <gmock/gmock.h>

#include "krait/error.h"
#include "src/tokenizer/pretokenizer.h"
#include "src/tokenizer/split_pattern.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> pieces(const std::vector<SplitStep>& steps, std::string_view text) {
  const PreTokenizer pre_tokenizer(steps);
  PreTokenizer::Workspace workspace = pre_tokenizer.workspace();
  std::vector<std::string> list;
  pre_tokenizer.split(text, workspace, [&](std::string_view piece) { list.emplace_back(piece); });
  return list;
}

TEST(PreTokenizer, FamiliesCutAsTheyShould) {
  EXPECT_THAT(pieces(gpt2_steps(), "It's 1234  x!"),
              ElementsAre("It", "'s", " 1234", " ", " x", "!"));
  EXPECT_THAT(pieces(llama3_steps(), "IT'S 1234  x!\n"),
              ElementsAre("IT", "'S", " ", "123", "4", " ", " x", "!\n"));
  EXPECT_THAT(pieces(falcon_steps(), "It's 1234  x!?"),
              ElementsAre("It", "'", "s", " ", "123", "4", " ", " x", "!?"));
}

TEST(PreTokenizer, StepsBehindTheByteLevelMayCutACharacter) {
  // U+00B2 is the bytes C2 B2, and B2 is spelled U+00B2, a number.
  EXPECT_THAT(pieces(falcon_steps(), "\u00B2"), ElementsAre("\xC2", "\xB2"));
}

TEST(SplitPattern, UnderstandsWhatPreTokenizersWrite) {
  for (const char* pattern :
       {"a",      "ab|c",   "[a-z]", "[^\\r\\n]", "[\\s-]",        "[-\\t]", "(?:a|b)+",
        "a(?!b)", "a(?=b)", "(a)",   "a?+",       "a*?",           "a++",    "a{2}",
        "a{2,}",  "a{2,3}", "\\.",   "\\\\",      "(?i:'ll|[sd])", "\u4E00"})
    EXPECT_TRUE(pcre2_from_oniguruma(pattern)) << pattern;
  EXPECT_EQ(pcre2_from_oniguruma("a{2,3}\\."), "a{2,3}\\.");
}

TEST(SplitPattern, LeavesAloneWhatMayMeanAnotherThing) {
  for (const char* pattern :
       {".",       "^a",      "a$",     "\\d",    "\\w",   "\\b",     "\\p{Lu}",     "\\P{L}",
        "\\x41",   "\\'",     "[[a]]",  "[a&&b]", "[]a]",  "[\\S]",   "[\\s-z]",     "[a-\\s]",
        "[a",      "(?<a>b)", "(?<=a)", "(?>a)",  "(?i)a", "(?i:ss)", "(?i:\u00E9)", "(?i:a",
        "(*UTF)a", "a{,2}",   "a{2}+",  "a{2}?",  "a{x}",  "a{2",     "\\"})
    EXPECT_FALSE(pcre2_from_oniguruma(pattern)) << pattern;
}

TEST(SplitPattern, LiteralsAreTakenAsTheyAre) {
  EXPECT_THAT(pieces({{pattern_of_literal(".*\\E[")}}, "a.*\\E[.*"),
              ElementsAre("a", ".*\\E[", ".*"));
}

json document_with(const std::string& pre_tokenizer) {
  json document = small_document();
  document["pre_tokenizer"] = {{"type", "Sequence"},
                               {"pretokenizers", json::array({json::parse(pre_tokenizer),
                                                              small_document()["pre_tokenizer"]})}};
  return document;
}

void expect_refused(const std::string& pre_tokenizer, const std::string& place,
                    const std::string& expected) {
  EXPECT_THAT(
      message_of<InputError>([&] { load_document(document_with(pre_tokenizer)); }),
      AllOf(HasSubstr("pre_tokenizer.pretokenizers[0]" + place + " is "), HasSubstr(expected)));
}

std::string split_of(const std::string& pattern, const std::string& behavior = R"("Isolated")",
                     const std::string& invert = "false") {
  return R"({"type": "Split", "pattern": )" + pattern + R"(, "behavior": )" + behavior +
         R"(, "invert": )" + invert + "}";
}

TEST(SplitJson, ReadsASplit) {
  EXPECT_NO_THROW(load_document(document_with(split_of(R"({"Regex": "a"})"))));
  EXPECT_NO_THROW(load_document(document_with(split_of(R"({"String": "a"})"))));
}

TEST(SplitJson, RefusesPatternsItCannotFollow) {
  expect_refused(split_of(R"({"Regex": "\\w+"})"), ".pattern.Regex", "a pattern of literals");
  expect_refused(split_of(R"({"Regex": "(a"})"), ".pattern.Regex", "another pattern: missing");
  expect_refused(split_of(R"({"Regex": "a*"})"), ".pattern.Regex", "empty string");
  expect_refused(split_of(R"({"Regex": "(?:a{9999}){9999}"})"), ".pattern.Regex", "too large");
  expect_refused(split_of(R"({"String": ""})"), ".pattern.String", "at least one character");
  expect_refused(split_of("{}"), ".pattern.Regex", "a string");
  expect_refused(split_of(R"("a")"), ".pattern", "an object");
}

TEST(SplitJson, RefusesOtherBehaviors) {
  const std::string a = R"({"String": "a"})";
  expect_refused(split_of(a, R"("Dropped")"), ".behavior", "MergedWithNext");
  expect_refused(split_of(a, "null"), ".behavior", "a string");
  expect_refused(split_of(a, R"("Isolated")", "null"), ".invert", "true or false");
  expect_refused(R"({"type": "Punctuation", "behavior": "Removed"})", ".behavior",
                 "Isolated or Contiguous");
}

TEST(SplitJson, RefusesMembersItDoesNotKnow) {
  for (const char* step :
       {R"({"type": "Split", "novelty": 1})", R"({"type": "Punctuation", "novelty": 1})",
        R"({"type": "Split", "pattern": {"novelty": "a"}})"})
    EXPECT_THAT(message_of<InputError>([&] { load_document(document_with(step)); }),
                HasSubstr("\"novelty\""));
}

}  // namespace
}  // namespace krait::test
