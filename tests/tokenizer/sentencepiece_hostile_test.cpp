// Damaged and malicious sentencepiece models: a message or a tokenizer, never a crash.
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include <gmock/gmock.h>

#include "krait/error.h"
#include "src/tokenizer/protobuf.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string model_bytes(const std::string& name) {
  std::stringstream bytes;
  bytes << std::ifstream(golden_file("sentencepiece/" + name), std::ios::binary).rdbuf();
  return bytes.str();
}

std::unique_ptr<Tokenizer> load(const std::string& bytes) {
  const TempFolder folder;
  return load_tokenizer_sentencepiece(folder.write("tokenizer.model", bytes));
}

std::string piece(std::string_view text, float score, uint64_t type) {
  std::string entry, out;
  append_bytes_field(1, text, entry);
  append_float_field(2, score, entry);
  append_varint_field(3, type, entry);
  append_bytes_field(1, entry, out);
  return out;
}

std::string message(uint32_t number, const std::string& fields) {
  std::string out;
  append_bytes_field(number, fields, out);
  return out;
}

std::string varint(uint32_t number, uint64_t value) {
  std::string out;
  append_varint_field(number, value, out);
  return out;
}

std::string text(uint32_t number, std::string_view bytes) {
  std::string out;
  append_bytes_field(number, bytes, out);
  return out;
}

// A BPE model of three pieces, with more fields behind.
std::string tiny(const std::string& more = "") {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("a", -1, 1) + message(2, varint(3, 2)) +
         more;
}

void expect_refused(const std::string& bytes, const std::string& place,
                    const std::string& expected) {
  EXPECT_THAT(message_of<InputError>([&] { load(bytes); }),
              AllOf(HasSubstr("tokenizer.model: "), HasSubstr(place), HasSubstr("expected "),
                    HasSubstr(expected)));
}

TEST(SentencepieceRules, AcceptsTheTinyModelThatTheRulesBreak) {
  EXPECT_EQ(load(tiny())->vocab_size(), 3);
  EXPECT_EQ(load(tiny(text(4, "self test data") + varint(900, 1)))->vocab_size(), 3);
}

TEST(SentencepieceRules, RefusesAFileThatIsMissing) {
  EXPECT_THAT(message_of<InputError>([] { load_tokenizer_sentencepiece("/no/tokenizer.model"); }),
              HasSubstr("/no/tokenizer.model"));
}

TEST(SentencepieceRules, RefusesAModelWithoutPieces) {
  expect_refused("", "has 0 pieces", "1 to 4194304");
}

TEST(SentencepieceRules, RefusesBrokenFields) {
  expect_refused(tiny("\x0A"), "ends inside a number", "a sentencepiece model");
  expect_refused(tiny("\x0D\x01"), "ends inside a number", "a sentencepiece model");
  expect_refused(tiny("\x0A\x05"), "field 1 has 5 bytes where 0 are left", "");
  expect_refused(tiny(std::string("\x02\x00", 2)), "a field of number 0", "");
  for (const char* group : {"\x0B", "\x0C", "\x0E", "\x0F"})
    expect_refused(tiny(group), "has wire type", "");
  expect_refused(tiny("\x08" + std::string(10, '\xFF')), "more than 64 bits", "");
  expect_refused(tiny("\x08" + std::string(9, '\xFF') + "\x02"), "more than 64 bits", "");
  expect_refused(tiny("\xFF\xFF\xFF\xFF\xFF\x7F"), "a field of number", "");
  expect_refused(tiny(message(1, "\x0A\x7F")), "pieces[3]: field 1 has 127 bytes", "");
}

TEST(SentencepieceRules, RefusesFieldsOfAnotherType) {
  expect_refused(tiny(varint(1, 7)), "pieces[3] is a varint", "a string");
  expect_refused(tiny(message(1, varint(1, 7))), "pieces[3].piece is a varint", "a string");
  expect_refused(tiny(message(1, varint(2, 7))), "pieces[3].score is a varint", "32 bits");
  expect_refused(tiny(message(1, text(3, "x"))), "pieces[3].type is a string", "a varint");
  expect_refused(tiny(varint(2, 1)), "trainer_spec is a varint", "a string");
  expect_refused(tiny(message(3, varint(3, 2))), "normalizer_spec.add_dummy_prefix is 2", "0 to 1");
}

TEST(SentencepieceRules, RefusesEmptyAndOverlongPieces) {
  expect_refused(tiny(piece("", 0, 1)), "pieces[3].piece is of 0 bytes", "1 to 4096");
  expect_refused(tiny(piece(std::string(4097, 'x'), 0, 1)), "of 4097 bytes", "1 to 4096");
  EXPECT_NO_THROW(load(tiny(piece(std::string(4096, 'x'), 0, 1))));
}

TEST(SentencepieceRules, RefusesPiecesThatAreNoText) {
  expect_refused(tiny(piece("\xFF", 0, 1)), "pieces[3].piece is ", "UTF-8");
  expect_refused(tiny(piece(std::string_view("a\0b", 3), 0, 1)), "pieces[3].piece", "without NUL");
}

TEST(SentencepieceRules, RefusesAPieceTwice) {
  expect_refused(tiny(piece("a", 0, 1)), "pieces[3].piece is \"a\"", "another: that is piece 2");
}

// The library's BPE took the character for the piece and then failed.
TEST(SentencepieceRules, AControlPieceOfOneCharacterDoesNotStandForThatCharacter) {
  const auto tokenizer = load(tiny(piece("\xE2\x96\x81", -2, 3) + piece("b", -3, 3)));
  EncodeOptions options;
  options.add_special_tokens = false;
  EXPECT_THAT(tokenizer->encode("b", options), testing::Contains(4));
  options.parse_special_tokens = false;
  EXPECT_THAT(tokenizer->encode("a b", options), testing::Not(testing::Contains(4)));
  EXPECT_THAT(tokenizer->encode("a b", options), testing::Contains(2));
}

TEST(SentencepieceRules, RefusesTypesOutOfRange) {
  for (const uint64_t type : {uint64_t{0}, uint64_t{7}, ~uint64_t{0}})
    expect_refused(tiny(piece("b", 0, type)), "pieces[3].type is ", "1 to 6");
}

TEST(SentencepieceRules, RefusesScoresThatAreNotFinite) {
  for (const float score :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    expect_refused(tiny(piece("b", score, 1)), "pieces[3].score is ", "a finite number");
}

TEST(SentencepieceRules, RefusesNoneOrTwoUnknownPieces) {
  expect_refused(tiny(piece("b", 0, 2)), "pieces[3].type is 2 (unknown)", "piece 0 has it already");
  expect_refused(piece("a", 0, 1), "no piece has type 2", "one");
}

TEST(SentencepieceRules, RefusesBytesThatAreNotAllThere) {
  expect_refused(tiny(piece("<0x00>", 0, 6)), "pieces[3].type is 6 (byte)", "byte_fallback");
  expect_refused(tiny(message(2, varint(35, 1))), "0 pieces of bytes", "all 256");
  const std::string fallback = message(2, varint(35, 1));
  expect_refused(tiny(fallback + piece("<0x0g>", 0, 6)), "pieces[3].piece", "<0x00> to <0xFF>");
  expect_refused(tiny(fallback + piece("<0x0a>", 0, 6)), "pieces[3].piece", "<0x00> to <0xFF>");
}

TEST(SentencepieceRules, RefusesOtherAlgorithms) {
  for (const uint64_t type : {0, 3, 4, 5})
    expect_refused(tiny(message(2, varint(3, type))), "trainer_spec.model_type is ", "2 (BPE)");
}

TEST(SentencepieceRules, RefusesSpacesInOtherPlaces) {
  expect_refused(tiny(message(2, varint(24, 1))), "trainer_spec.treat_whitespace_as_suffix is true",
                 "false");
  expect_refused(tiny(message(3, varint(5, 0))), "normalizer_spec.escape_whitespaces is false",
                 "true");
  expect_refused(tiny(message(5, text(2, "x"))), "denormalizer_spec.precompiled_charsmap", "none");
}

TEST(SentencepieceRules, RefusesAnUnknownSurfaceThatIsNoText) {
  expect_refused(tiny(message(2, text(44, "\xFF"))), "trainer_spec.unk_surface", "UTF-8");
}

TEST(SentencepieceRules, RefusesAFileTooLarge) {
  EXPECT_THROW(load(tiny(text(900, std::string(16 << 20, 'x')))), InputError);
}

// ---- compiled normalisation rules: a trie of 256 units, then replacements
// ------------------------

constexpr uint32_t kLeafAmongChildren = 1u << 8;

std::string with_charsmap(std::vector<uint32_t> units, const std::string& replacements) {
  std::string map = std::string(4, '\0');
  const auto bytes = static_cast<uint32_t>(units.size() * 4);
  std::memcpy(map.data(), &bytes, 4);
  map.append(reinterpret_cast<const char*>(units.data()), bytes);
  return tiny(message(3, text(2, map + replacements)));
}

void expect_bad_charsmap(const std::string& bytes, const std::string& what) {
  EXPECT_THAT(message_of<InputError>([&] { load(bytes); }),
              AllOf(HasSubstr("normalizer_spec.precompiled_charsmap "), HasSubstr(what)));
}

TEST(SentencepieceCharsmap, RefusesSizesThatDoNotFit) {
  expect_bad_charsmap(tiny(message(3, text(2, "abc"))), "ends inside its first number");
  expect_bad_charsmap(tiny(message(3, text(2, "\x01\x01\x01\x01xx"))), "a trie of 16843009 bytes");
  expect_bad_charsmap(with_charsmap({}, std::string(1, '\0')), "a trie of 0 bytes");
  expect_bad_charsmap(with_charsmap(std::vector<uint32_t>(255), std::string(1, '\0')),
                      "a multiple of 1024");
  expect_bad_charsmap(with_charsmap(std::vector<uint32_t>(256), ""), "a trie of 1024 bytes");
}

TEST(SentencepieceCharsmap, RefusesReplacementsThatAreNoText) {
  const std::vector<uint32_t> units(256);
  EXPECT_NO_THROW(load(with_charsmap(units, std::string(1, '\0')))->encode("abc"));
  expect_bad_charsmap(with_charsmap(units, "abc"), "ended by NUL");
  expect_bad_charsmap(with_charsmap(units, std::string("\xFF\0", 2)), "no UTF-8");
}

TEST(SentencepieceCharsmap, RefusesWaysOutOfTheTrie) {
  std::vector<uint32_t> units(256);
  units[7] = 256u << 10;
  expect_bad_charsmap(with_charsmap(units, std::string(1, '\0')), "out of its trie at unit 7");
  units[7] = 1u << 10 | 1u << 9;  // 1 << 8 by its flag
  expect_bad_charsmap(with_charsmap(units, std::string(1, '\0')), "out of its trie at unit 7");
}

TEST(SentencepieceCharsmap, RefusesATrieThatBeginsWithAValue) {
  std::vector<uint32_t> units(256);
  units[0] = 1u << 31;
  expect_bad_charsmap(with_charsmap(units, std::string(1, '\0')), "begins with a value");
}

TEST(SentencepieceCharsmap, RefusesWaysOutOfTheReplacements) {
  std::vector<uint32_t> units(256);
  units[7] = kLeafAmongChildren;
  const std::string replacements("ab\0c\0", 5);
  for (const uint32_t leaf : {5u, 1u, 2u, 0x7FFFFFFFu}) {
    units[7] = kLeafAmongChildren | 1u << 10;  // the leaf is unit 6
    units[6] = 1u << 31 | leaf;
    expect_bad_charsmap(with_charsmap(units, replacements), "out of its replacements at unit 7");
  }
  for (const uint32_t leaf : {0u, 3u}) {
    units[6] = 1u << 31 | leaf;
    EXPECT_NO_THROW(load(with_charsmap(units, replacements))->encode("abc")) << leaf;
  }
  units[6] = 0;
  expect_bad_charsmap(with_charsmap(units, replacements), "out of its replacements at unit 7");
}

// ---- damage at random
// ----------------------------------------------------------------------------

// Loads the bytes; what loads must also work. Returns whether it loaded.
bool survives(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  try {
    const auto tokenizer = load_tokenizer_sentencepiece(path);
    const auto ids = tokenizer->encode("The 1st <doc>text</s>, é\t\uFFFD中 \xFF  of README");
    for (const int32_t id : ids) EXPECT_LT(id, tokenizer->vocab_size());
    decode(*tokenizer, ids, true);
    return true;
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path));
    return false;
  }
}

TEST(SentencepieceDamage, EveryTruncation) {
  const TempFolder folder;
  for (const char* name : {"bpe.model", "unigram.model"}) {
    const std::string whole = model_bytes(name);
    ASSERT_GT(whole.size(), 1000u);
    int refused = 0;
    for (size_t size = 0; size < whole.size(); ++size)
      refused += !survives(folder.path("cut.model"), whole.substr(0, size));
    EXPECT_GT(refused, 1000) << name;
  }
}

TEST(SentencepieceDamage, ThousandsOfChangedBytes) {
  const TempFolder folder;
  std::mt19937 random(11);
  for (const char* name : {"bpe.model", "unigram.model"}) {
    const std::string whole = model_bytes(name);
    int loaded = 0;
    constexpr int kTries = 3000;
    for (int i = 0; i < kTries; ++i) {
      std::string bytes = whole;
      for (int changes = 1 + i % 3; changes > 0; --changes)
        bytes[random() % bytes.size()] = static_cast<char>(random());
      loaded += survives(folder.path("bad.model"), bytes);
    }
    EXPECT_GT(loaded, 100) << name << ": else little was tried behind the checks";
    EXPECT_LT(loaded, kTries - 100) << name;
  }
}

}  // namespace
}  // namespace krait::test
