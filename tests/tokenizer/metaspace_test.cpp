// Llama-style tokenizers beyond the golden cases.
#include <chrono>
#include <random>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr EncodeOptions kBare = {.add_special_tokens = false};

TEST(MetaspaceTokenizer, TellsWhatItIs) {
  const auto tokenizer = load_document(metaspace_document());
  EXPECT_EQ(tokenizer->kind(), "BPE with spaces as characters");
  EXPECT_TRUE(tokenizer->strips_leading_space());
  EXPECT_FALSE(load_document(small_document())->strips_leading_space());
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("\u2581")), " ");
  EXPECT_EQ(tokenizer->token_text(tokenizer->find("\u2581")), "\u2581");
  EXPECT_EQ(tokenizer->token_bytes(tokenizer->find("<0xE3>")), "\xE3");
  EXPECT_TRUE(tokenizer->is_special(1));
}

TEST(MetaspaceTokenizer, OnlyTheFirstSpaceOfATextIsDropped) {
  const auto tokenizer = load_document(metaspace_document());
  const std::string text = "  the end ";
  const std::vector<int32_t> ids = tokenizer->encode(text);
  EXPECT_EQ(decode(*tokenizer, ids), text);
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer->token_bytes(id);
  EXPECT_EQ(bytes, " " + text) << "one token at a time nothing is lost";
  EXPECT_EQ(decode(*tokenizer, ids, true), "<s> " + text) << "the space is not the first";
  EXPECT_EQ(decode(*tokenizer, {}), "");
}

TEST(MetaspaceTokenizer, NoSpaceIsPutBeforeTextThatGoesOn) {
  const auto tokenizer = load_document(metaspace_document());
  constexpr EncodeOptions kContinues = {.add_special_tokens = false, .continues = true};
  for (const std::string text : {"the", " the", "<s>the", "the<s> the"}) {
    std::string bytes;
    for (const int32_t id : tokenizer->encode(text, kContinues))
      bytes += tokenizer->token_bytes(id, true);
    EXPECT_EQ(bytes.substr(0, 3), text.substr(0, 3));
  }
}

TEST(MetaspaceTokenizer, RandomBytesComeBackRepaired) {
  const auto tokenizer = load_document(metaspace_document());
  std::mt19937 random(6);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (size_t size = random() % 200; bytes.size() < size;) bytes += static_cast<char>(random());
    Utf8Stream repaired;
    std::string expected = repaired.push(bytes);
    expected += repaired.finish();
    ASSERT_EQ(decode(*tokenizer, tokenizer->encode(bytes)), expected);
  }
}

// 1 MB without a break; quadratic work would take minutes.
TEST(MetaspaceTokenizer, WorkGrowsWithTheTextOnly) {
  const auto tokenizer = load_document(metaspace_document());
  std::mt19937 random(9);
  std::string letters;
  for (int i = 0; i < 1'000'000; ++i) letters += static_cast<char>('a' + random() % 26);
  for (const std::string& text : {letters, std::string(1'000'000, ' '), std::string(1'000'000, 'e'),
                                  std::string(1'000'000, '\xFF')}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(tokenizer->encode(text).empty());
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    EXPECT_LT(time.count(), 20) << testing::PrintToString(text.substr(0, 8));
  }
}

json with(const std::string& pointer, const json& value) {
  json document = metaspace_document();
  document[json::json_pointer(pointer)] = value;
  return document;
}

void expect_refused(const std::string& pointer, const json& value, const std::string& place,
                    const std::string& expected) {
  EXPECT_THAT(message_of<InputError>([&] { load_document(with(pointer, value)); }),
              AllOf(HasSubstr("tokenizer.json: " + place + " is "), HasSubstr(expected)));
}

TEST(MetaspaceJson, RefusesOtherNormalizers) {
  expect_refused("/normalizer/type", "NFC", "normalizer.type", "Replace");
  expect_refused("/normalizer/normalizers", json::array(), "normalizer.normalizers", "Prepend");
  expect_refused("/normalizer/normalizers/0/type", "Strip", "normalizer.normalizers[0].type",
                 "Prepend");
  expect_refused("/normalizer/normalizers/0/prepend", "_", "normalizer.normalizers[0].prepend",
                 "2581");
  expect_refused("/normalizer/normalizers/1/content", "_", "normalizer.normalizers[1].content",
                 "2581");
  expect_refused("/normalizer/normalizers/1/pattern/String", "\t",
                 "normalizer.normalizers[1].pattern.String", "\" \"");
}

TEST(MetaspaceJson, RefusesSpacesThatNothingReplaces) {
  expect_refused("/normalizer", nullptr, "pre_tokenizer", "Metaspace");
  expect_refused("/pre_tokenizer", {{"type", "Metaspace"}}, "pre_tokenizer", "null");
}

TEST(MetaspaceJson, RefusesOtherMetaspaces) {
  const auto refused = [](const json& patch, const std::string& place,
                          const std::string& expected) {
    json document = with("/normalizer", nullptr);
    document["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}};
    document["pre_tokenizer"].update(patch);
    EXPECT_THAT(message_of<InputError>([&] { load_document(document); }),
                AllOf(HasSubstr(place), HasSubstr(expected)));
  };
  refused({{"type", "Whitespace"}}, "pre_tokenizer.type is", "Metaspace");
  refused({{"replacement", "_"}}, "pre_tokenizer.replacement is", "2581");
  refused({{"prepend_scheme", "last"}}, "pre_tokenizer.prepend_scheme is",
          "first, always or never");
  refused({{"prepend_scheme", "never"}, {"add_prefix_space", true}},
          "pre_tokenizer.add_prefix_space is", "never");
  refused({{"split", 1}}, "pre_tokenizer.split is", "true or false");
  refused({{"novelty", 1}}, "pre_tokenizer has", "\"novelty\"");
}

TEST(MetaspaceJson, RefusesOtherDecoders) {
  expect_refused("/decoder", nullptr, "decoder", "a Sequence");
  expect_refused("/decoder/type", "Metaspace", "decoder.type", "Sequence");
  expect_refused("/decoder/decoders", json::array(), "decoder.decoders", "ByteFallback");
  expect_refused("/decoder/decoders/0/content", "", "decoder.decoders[0].content", "\" \"");
  expect_refused("/decoder/decoders/1/type", "Fuse", "decoder.decoders[1].type", "ByteFallback");
  expect_refused("/decoder/decoders/2/type", "Strip", "decoder.decoders[2].type", "Fuse");
  expect_refused("/decoder/decoders/3/content", "x", "decoder.decoders[3].content", "\" \"");
  expect_refused("/decoder/decoders/3/start", 2, "decoder.decoders[3].start", "1");
  expect_refused("/decoder/decoders/3/stop", 1, "decoder.decoders[3].stop", "0");
}

TEST(MetaspaceJson, RefusesAnUnknownTokenThatIsNone) {
  expect_refused("/model/unk_token", "<none>", "model.unk_token", "a token of model.vocab");
}

TEST(MetaspaceJson, ReadsLongAndShortSequences) {
  json document = metaspace_document();
  document["decoder"]["decoders"].erase(3);
  EXPECT_FALSE(load_document(document)->strips_leading_space());
  document["normalizer"]["normalizers"].erase(0);
  const auto tokenizer = load_document(document);
  EXPECT_THAT(tokenizer->encode("a", kBare), ElementsAre(tokenizer->find("a")));
}

}  // namespace
}  // namespace krait::test
