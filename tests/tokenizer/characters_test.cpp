// Every character is to krait what it is to Hugging Face tokenizers.
#include <cinttypes>
#include <cstdio>

#include "src/tokenizer/character_tables.h"
#include "src/tokenizer/normalizer.h"
#include "src/tokenizer/regex.h"
#include "src/base/utf8.h"
#include "tests/tokenizer/golden.h"

namespace krait::test {
namespace {

bool is_character(char32_t code) { return code < 0xD800 || (code >= 0xE000 && code < 0x110000); }

std::string text_of(char32_t code) {
  std::string text;
  append_utf8(code, text);
  return text;
}

template <class IsIn>
void expect_class(const std::string& name, const IsIn& is_in) {
  std::vector<bool> expected(0x110000);
  const nlohmann::json golden = read_json_file(golden_file("characters.json"));
  for (const auto& entry : golden.at("classes"))
    if (entry.at(0) == name)
      for (const auto& range : entry.at(1))
        for (size_t c = range.at(0); c <= range.at(1).get<size_t>(); ++c) expected[c] = true;
  int members = 0;
  int wrong = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (!is_character(code)) continue;
    members += expected[code];
    if (is_in(code) != expected[code] && ++wrong < 5)
      ADD_FAILURE() << name << ": U+" << std::hex << static_cast<uint32_t>(code) << " is "
                    << (expected[code] ? "one" : "none");
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(members, 20);
}

void expect_pattern_class(const std::string& name, const std::string& pattern) {
  const Regex regex(pattern);
  Regex::Matcher matcher(regex);
  Regex::Match match;
  expect_class(name, [&](char32_t code) { return matcher.find(text_of(code), 0, match); });
}

TEST(Characters, Letters) { expect_pattern_class("letters", "[" + letter_class() + "]"); }
TEST(Characters, Numbers) { expect_pattern_class("numbers", "[" + number_class() + "]"); }
TEST(Characters, SpacesInPatterns) { expect_pattern_class("spaces", "[" + space_class() + "]"); }
TEST(Characters, Spaces) { expect_class("spaces", is_space); }
TEST(Characters, Punctuation) { expect_pattern_class("punctuation", punctuation_pattern()); }
TEST(Characters, WordCharacters) { expect_pattern_class("word_characters", word_pattern()); }

// As in tools/golden/tokenizer_strings.py: blocks that no normal form touches.
bool has_plain_form(char32_t c) {
  return (c >= 0x3400 && c < 0xA000) || (c >= 0xE000 && c < 0xF900) ||
         (c >= 0x17000 && c < 0x18D00) || (c >= 0x20000 && c < 0x2F800) || c >= 0x30000;
}

std::string normalized(NormalForm form, const std::string& text) {
  std::string out;
  append_normalized(form, text, out);
  return out;
}

// Each character alone, among marks of lower, equal and higher combining class, and decomposed.
std::string surroundings(char32_t code) {
  const std::string c = text_of(code);
  return c + ".a\u0334" + c + "\u0334.a\u0345" + c + "\u0300\u0345\u0301" + c + "\u3099.a\u0315" +
         c + "\u0315." + c + "\u0301." + normalized(NormalForm::nfd, c);
}

void expect_hash(NormalForm form, const char* name) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (!is_character(code) || has_plain_form(code)) continue;
    for (const char byte : normalized(form, surroundings(code)))
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  }
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016" PRIx64, hash);
  const nlohmann::json golden = read_json_file(golden_file("characters.json"));
  EXPECT_EQ(golden.at("normal_forms").at(name), hex);
}

TEST(Characters, NormalFormC) { expect_hash(NormalForm::nfc, "NFC"); }
TEST(Characters, NormalFormD) { expect_hash(NormalForm::nfd, "NFD"); }
TEST(Characters, NormalFormKC) { expect_hash(NormalForm::nfkc, "NFKC"); }
TEST(Characters, NormalFormKD) { expect_hash(NormalForm::nfkd, "NFKD"); }

}  // namespace
}  // namespace krait::test
