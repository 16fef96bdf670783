#include "src/base/utf8.h"

#include <random>

#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

constexpr const char* kFamily = "\U0001F468\u200D\U0001F469\u200D\U0001F467";

TEST(Utf8, RepairsOneMaximalSubpartAtATime) {
  const std::string r(kReplacementCharacter);
  EXPECT_EQ(repair_utf8("a\xFFz"), "a" + r + "z");
  EXPECT_EQ(repair_utf8("\xC0\x80"), r + r) << "overlong";
  EXPECT_EQ(repair_utf8("\xE0\x80\x80"), r + r + r) << "overlong";
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), r + r + r) << "surrogate";
  EXPECT_EQ(repair_utf8("\xF4\x90\x80\x80"), r + r + r + r) << "beyond U+10FFFF";
  EXPECT_EQ(repair_utf8("\xF0\x9F\x98z"), r + "z") << "three good bytes, then another character";
  EXPECT_EQ(repair_utf8("\xE2\x82"), r) << "ends early";
  EXPECT_EQ(repair_utf8("\x80\xBF"), r + r) << "no lead byte";
  EXPECT_EQ(repair_utf8("é€😀"), "é€😀");
}

TEST(Utf8, ValidityFollowsEveryCharacterAndNothingElse) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    std::string text;
    append_utf8(code, text);
    ASSERT_EQ(is_valid_utf8(text), code < 0xD800 || code >= 0xE000) << static_cast<uint32_t>(code);
    if (!is_valid_utf8(text)) continue;
    ASSERT_EQ(utf8_unit(text, 0).code, code);
  }
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_FALSE(is_valid_utf8("sixteen letters \xFF and more"));
}

TEST(Utf8Stream, HoldsBackWhatMayBecomeACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0"), "a");
  EXPECT_EQ(stream.push("\x9F"), "");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80z"), "😀z");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, GivesWhatItHeldBackAtTheEndAndStartsAnew) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.push("\xAC"), "\uFFFD") << "the bytes before are forgotten";
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, DoesNotHoldBackWhatCannotBecomeACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xED"), "");
  EXPECT_EQ(stream.push("\xA0"), "\uFFFD\uFFFD");
  EXPECT_EQ(stream.push("\xF5"), "\uFFFD");
}

TEST(Utf8Stream, AgreesWithTheWholeTextHoweverItIsCut) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i)
      bytes += random() % 3 ? std::string(1, static_cast<char>(random()))
                            : std::string(kFamily).substr(0, random() % 19);
    Utf8Stream stream;
    std::string joined;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = random() % 4;
      const std::string part = stream.push(bytes.substr(at, size));
      ASSERT_TRUE(is_valid_utf8(part));
      joined += part;
      at += size;
    }
    joined += stream.finish();
    ASSERT_EQ(joined, repair_utf8(bytes));
  }
}

TEST(Decode, StreamsAnEmojiOfManyTokens) {
  const auto tokenizer = load_document(small_document());
  const std::vector<int32_t> ids = tokenizer->encode(kFamily);
  ASSERT_GT(ids.size(), 5u);
  Utf8Stream stream;
  std::string joined;
  for (const int32_t id : ids) {
    const std::string part = stream.push(tokenizer->token_bytes(id));
    EXPECT_TRUE(is_valid_utf8(part));
    joined += part;
  }
  EXPECT_EQ(joined, kFamily);
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(decode(*tokenizer, ids), kFamily);
}

TEST(Decode, IsLossyForACutCharacter) {
  const auto tokenizer = load_document(small_document());
  std::vector<int32_t> ids = tokenizer->encode("x\U0001F468");
  ids.pop_back();
  EXPECT_EQ(decode(*tokenizer, ids), "x\uFFFD");
}

}  // namespace
}  // namespace krait::test
