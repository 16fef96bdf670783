#include "src/tokenizer/pretokenizer.h"

#include <utility>

#include "src/tokenizer/character_tables.h"
#include "src/tokenizer/split_pattern.h"

namespace krait {

SplitStep gpt2_step() {
  return {*pcre2_from_oniguruma(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)"
                                R"(|\s+(?!\S)|\s+)")};
}

SplitStep digits_step(bool individual) {
  return {"[" + number_class() + (individual ? "]" : "]+")};
}

SplitStep punctuation_step(bool contiguous) {
  return {punctuation_pattern(), contiguous ? SplitBehavior::contiguous : SplitBehavior::isolated};
}

std::vector<SplitStep> gpt2_steps() { return {gpt2_step()}; }

// The last two come behind the byte level in Falcon's files.
std::vector<SplitStep> falcon_steps() {
  SplitStep digits = digits_step(false);
  SplitStep thousands = {"[0-9][0-9][0-9]"};
  digits.on_alphabet = thousands.on_alphabet = true;
  return {punctuation_step(true), gpt2_step(), std::move(digits), std::move(thousands)};
}

std::vector<SplitStep> llama3_steps() {
  return {{*pcre2_from_oniguruma(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+)"
                                 R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S))"
                                 R"(|\s+)")}};
}

PreTokenizer::PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {
  for (const SplitStep& step : steps_) patterns_.emplace_back(step.pattern);
}

}  // namespace krait
