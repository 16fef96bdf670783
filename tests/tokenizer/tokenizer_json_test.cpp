// A rule of tokenizer.json a test: what is not understood is refused, by name.
#include <functional>

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

// A tokenizer of four tokens.
json tiny() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 3, "content": "<e>", "special": true, "normalized": false,
                      "single_word": false, "lstrip": false, "rstrip": false}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "model": {"dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false,
              "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

// tiny() with the value at a JSON pointer replaced.
json with(const std::string& pointer, const json& value) {
  json document = tiny();
  document[json::json_pointer(pointer)] = value;
  return document;
}

std::string refusal(const json& document) {
  return message_of<InputError>([&] { load_document(document); });
}

// The message names the file, the place, what is there and what should be.
void expect_refused(const std::string& pointer, const json& value, const std::string& place,
                    const std::string& expected) {
  EXPECT_THAT(refusal(with(pointer, value)),
              AllOf(HasSubstr("tokenizer.json: " + place + " is "), HasSubstr(expected)));
}

TEST(TokenizerJson, ReadsMergesOfBothNotations) {
  EXPECT_THAT(load_document(tiny())->encode("abba<e>"), ElementsAre(2, 1, 0, 3));
  const json pairs = json::array({json::array({"a", "b"})});
  EXPECT_THAT(load_document(with("/model/merges", pairs))->encode("abba"), ElementsAre(2, 1, 0));
}

TEST(TokenizerJson, SkipsTheHeadlineOfMergesFiles) {
  const json merges = {"#version: 0.2", "a b"};
  EXPECT_THAT(load_document(with("/model/merges", merges))->encode("ab"), ElementsAre(2));
}

TEST(TokenizerJson, AcceptsAModelTypeOfBpeAndAddedTokensThatTheModelHas) {
  json document = with("/model/type", "BPE");
  document["added_tokens"][0]["id"] = 2;
  document["added_tokens"][0]["content"] = "ab";
  EXPECT_THAT(load_document(document)->encode("aab"), ElementsAre(0, 2));
  EXPECT_TRUE(load_document(document)->is_special(2));
}

TEST(TokenizerJson, AcceptsAnUnknownTokenWhereNothingIsUnknown) {
  json document = small_document();
  document["model"]["unk_token"] = "<|endoftext|>";
  EXPECT_EQ(load_document(document)->encode("é"), load_document(small_document())->encode("é"));
}

TEST(TokenizerJson, AcceptsTruncationAndPaddingWhichAreForBatches) {
  json document = with("/truncation", json::parse(R"({"max_length": 1})"));
  document["padding"] = json::object();
  EXPECT_THAT(load_document(document)->encode("ba"), ElementsAre(1, 0));
}

TEST(TokenizerJson, RefusesAFileThatIsMissing) {
  EXPECT_THROW(load_tokenizer_json("/no/such/tokenizer.json"), InputError);
}

TEST(TokenizerJson, RefusesWhatIsNotJson) {
  const TempFolder folder;
  const std::string path = folder.write("tokenizer.json", "{\"model\": ");
  EXPECT_THAT(message_of<InputError>([&] { load_tokenizer_json(path); }), HasSubstr(path));
}

TEST(TokenizerJson, RefusesADocumentThatIsNotAnObject) {
  for (const json& document : {json::array(), json(), json(3), json("x")})
    EXPECT_THAT(refusal(document), HasSubstr("the document is "));
  EXPECT_THAT(refusal(json::object()), HasSubstr("model is null or missing"));
}

TEST(TokenizerJson, RefusesMembersItDoesNotKnow) {
  for (const char* place :
       {"", "/model", "/normalizer", "/pre_tokenizer", "/decoder", "/added_tokens/0"})
    EXPECT_THAT(refusal(with(std::string(place) + "/novelty", true)), HasSubstr("\"novelty\""));
}

TEST(TokenizerJson, RefusesAnotherVersion) { expect_refused("/version", "2.0", "version", "1.0"); }

TEST(TokenizerJson, RefusesAnotherModelType) {
  expect_refused("/model/type", "Unigram", "model.type", "BPE");
  expect_refused("/model/type", "WordPiece", "model.type", "BPE");
  expect_refused("/model", nullptr, "model", "object");
}

TEST(TokenizerJson, RefusesDropout) {
  expect_refused("/model/dropout", 0.1, "model.dropout", "null or 0");
  EXPECT_NO_THROW(load_document(with("/model/dropout", 0.0)));
}

TEST(TokenizerJson, RefusesAnUnknownTokenWhereBytesAreMissing) {
  expect_refused("/model/unk_token", "ab", "model.unk_token", "null");
}

TEST(TokenizerJson, RefusesMarksOfSubwords) {
  expect_refused("/model/continuing_subword_prefix", "##", "model.continuing_subword_prefix",
                 "null");
  expect_refused("/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix", "null");
  EXPECT_NO_THROW(load_document(with("/model/end_of_word_suffix", "")));
}

TEST(TokenizerJson, RefusesByteFallback) {
  json document = with("/model/byte_fallback", true);
  document["normalizer"] = nullptr;
  EXPECT_THAT(refusal(document), HasSubstr("pre_tokenizer.type is \"ByteLevel\""));
  expect_refused("/model/byte_fallback", "no", "model.byte_fallback", "true or false");
}

TEST(TokenizerJson, RefusesAVocabularyThatIsNotAnObject) {
  expect_refused("/model/vocab", json::array(), "model.vocab", "an object");
  expect_refused("/model/vocab", nullptr, "model.vocab", "an object");
}

TEST(TokenizerJson, RefusesIdsThatAreNotSmallWholeNumbers) {
  for (const json& id : {json(-1), json(1.0), json("1"), json(nullptr), json(true), json(1 << 22),
                         json(4294967296), json(18446744073709551615u)})
    expect_refused("/model/vocab/b", id, "model.vocab.b", "a whole number from 0 to 4194303");
  EXPECT_EQ(load_document(with("/model/vocab/x", (1 << 22) - 1))->vocab_size(), 1 << 22);
}

TEST(TokenizerJson, RefusesTwoTokensWithOneId) {
  EXPECT_THAT(refusal(with("/model/vocab/b", 0)),
              AllOf(HasSubstr("model.vocab.b"), HasSubstr("\"a\"")));
}

TEST(TokenizerJson, RefusesATokenTwice) {
  const TempFolder folder;
  std::string text = tiny().dump();
  text.replace(text.find("\"b\":1"), 5, "\"b\":1,\"b\":5");
  const std::string path = folder.write("tokenizer.json", text);
  EXPECT_THAT(message_of<InputError>([&] { load_tokenizer_json(path); }), HasSubstr("duplicate"));
}

TEST(TokenizerJson, RefusesMergesOfUnknownTokens) {
  expect_refused("/model/merges/0", "a c", "model.merges[0]", "\"c\" is not");
  expect_refused("/model/merges/0", "b a", "model.merges[0]", "\"ba\" is not");
  expect_refused("/model/merges/0", {"", "a"}, "model.merges[0]", "\"\" is not");
}

TEST(TokenizerJson, RefusesMergesThatAreNotTwoParts) {
  for (const json& merge :
       {json("ab"), json("a b "), json("a  b"), json(""), json(7), json(nullptr)})
    expect_refused("/model/merges/0", merge, "model.merges[0]", "two");
  expect_refused("/model/merges/0", json::array({"a"}), "model.merges[0]", "two strings");
  expect_refused("/model/merges/0", {"a", "b", "a"}, "model.merges[0]", "two strings");
  expect_refused("/model/merges/0", {"a", 1}, "model.merges[0][1]", "a string");
  expect_refused("/model/merges", nullptr, "model.merges", "an array");
  expect_refused("/model/merges", "a b", "model.merges", "an array");
}

TEST(TokenizerJson, RefusesNormalizersItDoesNotHave) {
  for (const char* type : {"Lowercase", "Prepend", "Replace", "Strip", "Precompiled", ""})
    expect_refused("/normalizer/type", type, "normalizer.type", "NFC");
  expect_refused("/normalizer", "NFC", "normalizer", "an object");
  const json sequence = json::parse(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, 5]})");
  expect_refused("/normalizer", sequence, "normalizer.normalizers[1]", "an object");
}

TEST(TokenizerJson, RefusesPreTokenizersItDoesNotHave) {
  for (const char* type : {"Whitespace", "WhitespaceSplit", "UnicodeScripts", "BertPreTokenizer"})
    expect_refused("/pre_tokenizer/type", type, "pre_tokenizer.type", "ByteLevel");
  expect_refused("/pre_tokenizer", nullptr, "pre_tokenizer", "ByteLevel");
  expect_refused("/pre_tokenizer/add_prefix_space", nullptr, "pre_tokenizer.add_prefix_space",
                 "true or false");
}

json sequence_of(const std::vector<json>& steps) {
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

TEST(TokenizerJson, RefusesOrdersOfPreTokenizersThatItCannotFollow) {
  const json bytes = tiny()["pre_tokenizer"];
  json spaced = bytes;
  spaced["add_prefix_space"] = true;
  const json digits = {{"type", "Digits"}, {"individual_digits", true}};
  expect_refused("/pre_tokenizer", sequence_of({bytes, bytes}),
                 "pre_tokenizer.pretokenizers[1].type", "one ByteLevel step");
  expect_refused("/pre_tokenizer", sequence_of({digits, spaced}),
                 "pre_tokenizer.pretokenizers[1].add_prefix_space", "false");
  expect_refused("/pre_tokenizer", sequence_of({digits}), "pre_tokenizer", "a ByteLevel step");
  EXPECT_NO_THROW(load_document(with("/pre_tokenizer", sequence_of({digits, bytes}))));
}

TEST(TokenizerJson, RefusesDecodersItDoesNotHave) {
  expect_refused("/decoder/type", "Metaspace", "decoder.type", "ByteLevel");
  expect_refused("/decoder", nullptr, "decoder", "ByteLevel");
}

TEST(TokenizerJson, RefusesAddedTokensThatContradictTheVocabulary) {
  expect_refused("/added_tokens/0/id", 1, "added_tokens[0].id", "that of \"b\"");
  expect_refused("/added_tokens/0/content", "b", "added_tokens[0].id", "1, the id that \"b\"");
  const json token = tiny()["added_tokens"][0];
  expect_refused("/added_tokens", {token, token}, "added_tokens[1].id", "no token before");
}

TEST(TokenizerJson, RefusesAddedTokensOfTheWrongShape) {
  expect_refused("/added_tokens", json::object(), "added_tokens", "an array");
  expect_refused("/added_tokens/0", "<e>", "added_tokens[0]", "an object");
  expect_refused("/added_tokens/0/content", "", "added_tokens[0].content", "one character");
  expect_refused("/added_tokens/0/content", 5, "added_tokens[0].content", "a string");
  expect_refused("/added_tokens/0/id", -3, "added_tokens[0].id", "whole number");
  expect_refused("/added_tokens/0/id", 1 << 22, "added_tokens[0].id", "whole number");
  for (const char* flag : {"special", "normalized", "single_word", "lstrip", "rstrip"})
    expect_refused("/added_tokens/0/" + std::string(flag), 1,
                   "added_tokens[0]." + std::string(flag), "true or false");
}

json template_of(const std::string& single) {
  return {{"type", "TemplateProcessing"},
          {"single", json::parse(single)},
          {"pair", json::array()},
          {"special_tokens", {{"<e>", {{"id", "<e>"}, {"ids", {3}}, {"tokens", {"<e>"}}}}}}};
}

constexpr const char* kText = R"({"Sequence": {"id": "A", "type_id": 0}})";
constexpr const char* kEnd = R"({"SpecialToken": {"id": "<e>", "type_id": 0}})";

std::string list_of(const std::vector<std::string>& pieces) {
  std::string text = "[";
  for (const std::string& piece : pieces) text += (text.size() > 1 ? "," : "") + piece;
  return text + "]";
}

TEST(TokenizerJson, ReadsTemplates) {
  const json document = with("/post_processor", template_of(list_of({kEnd, kEnd, kText, kEnd})));
  EXPECT_THAT(load_document(document)->encode("a"), ElementsAre(3, 3, 0, 3));
  EXPECT_THAT(load_document(document)->encode("a", {.add_special_tokens = false}), ElementsAre(0));
}

TEST(TokenizerJson, RefusesTemplatesItCannotFollow) {
  const auto refused = [](const std::string& single, const std::string& place,
                          const std::string& expected) {
    expect_refused("/post_processor", template_of(single), "post_processor" + place, expected);
  };
  refused(list_of({kText, kText}), ".single[1].Sequence.id", "once");
  refused(list_of({kEnd}), ".single", "a place for the text");
  refused(list_of({R"({"Sequence": {"id": "B"}})", kText}), ".single[0].Sequence.id", "\"A\"");
  refused(list_of({R"({"SpecialToken": {"id": "<x>"}})", kText}), R"(.special_tokens["<x>"])",
          "object");
  refused(R"("$A")", ".single", "an array");
  json wrong_id = with("/post_processor", template_of(list_of({kText, kEnd})));
  wrong_id["post_processor"]["special_tokens"]["<e>"]["ids"][0] = 77;
  EXPECT_THAT(refusal(wrong_id), HasSubstr("ids[0] is 77; expected the id of a token"));
}

TEST(TokenizerJson, RefusesPostProcessorsItDoesNotHave) {
  expect_refused("/post_processor/type", "BertProcessing", "post_processor.type", "Template");
  const json one = template_of(list_of({kText, kEnd}));
  expect_refused("/post_processor", {{"type", "Sequence"}, {"processors", {one, one}}},
                 "post_processor.processors[1].type", "one TemplateProcessing");
}

}  // namespace
}  // namespace krait::test
