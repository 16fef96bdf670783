#include "src/tokenizer/pretokenizer_json.h"

#include <optional>
#include <string>
#include <utility>

#include "src/tokenizer/split_pattern.h"

namespace krait {
namespace {

SplitBehavior read_behavior(const JsonField& behavior) {
  const std::string& name = behavior.string();
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  behavior.fail("Isolated, Contiguous, Removed, MergedWithPrevious or MergedWithNext");
}

std::string read_pattern(const JsonField& pattern) {
  pattern.expect_members({"Regex", "String"});
  const JsonField literal = pattern["String"];
  if (!literal.is_null()) {
    if (literal.string().empty()) literal.fail("at least one character");
    return pattern_of_literal(literal.string());
  }
  const JsonField regex = pattern["Regex"];
  const std::optional<std::string> translated = pcre2_from_oniguruma(regex.string());
  if (!translated)
    regex.fail(
        "a pattern of literals, \\r \\n \\t \\s \\S \\p{L} \\p{N}, sets, groups, alternatives and "
        "quantifiers");
  const std::string problem = Regex::problem(*translated);
  if (!problem.empty()) regex.fail("another pattern: " + problem);
  return *translated;
}

SplitStep read_split(const JsonField& split) {
  split.expect_members({"type", "pattern", "behavior", "invert"});
  SplitStep step;
  step.pattern = read_pattern(split["pattern"]);
  step.behavior = read_behavior(split["behavior"]);
  step.invert = split["invert"].boolean();
  return step;
}

SplitStep read_punctuation(const JsonField& punctuation) {
  punctuation.expect_members({"type", "behavior"});
  const JsonField name = punctuation["behavior"];
  const SplitBehavior behavior = name.is_null() ? SplitBehavior::isolated : read_behavior(name);
  if (behavior != SplitBehavior::isolated && behavior != SplitBehavior::contiguous)
    name.fail("Isolated or Contiguous");
  return punctuation_step(behavior == SplitBehavior::contiguous);
}

void read_byte_level(const JsonField& byte_level, ByteLevelSplit& read) {
  byte_level.expect_members({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  if (read.byte_level) byte_level["type"].fail("one ByteLevel step");
  read.byte_level = true;
  const JsonField prefix = byte_level["add_prefix_space"];
  read.add_prefix_space = prefix.boolean();
  // It would put a space before every piece of the steps before.
  if (read.add_prefix_space && !read.steps.empty()) prefix.fail("false after another step");
  if (byte_level["use_regex"].boolean_or(true)) read.steps.push_back(gpt2_step());
}

void read_step(const JsonField& pre_tokenizer, ByteLevelSplit& read) {
  if (pre_tokenizer.is_null()) pre_tokenizer.fail("ByteLevel");
  const JsonField type = pre_tokenizer["type"];
  if (type.string() == "Sequence") {
    pre_tokenizer.expect_members({"type", "pretokenizers"});
    const JsonField list = pre_tokenizer["pretokenizers"];
    for (size_t i = 0; i < list.size(); ++i) read_step(list[i], read);
    return;
  }
  if (type.string() == "ByteLevel") return read_byte_level(pre_tokenizer, read);
  SplitStep step;
  if (type.string() == "Digits") {
    pre_tokenizer.expect_members({"type", "individual_digits"});
    step = digits_step(pre_tokenizer["individual_digits"].boolean());
  } else if (type.string() == "Punctuation") {
    step = read_punctuation(pre_tokenizer);
  } else if (type.string() == "Split") {
    step = read_split(pre_tokenizer);
  } else {
    type.fail("ByteLevel, Digits, Punctuation, Split or Sequence");
  }
  step.on_alphabet = read.byte_level;
  read.steps.push_back(std::move(step));
}

}  // namespace

ByteLevelSplit read_byte_level_split(const JsonField& pre_tokenizer) {
  ByteLevelSplit read;
  read_step(pre_tokenizer, read);
  if (!read.byte_level) pre_tokenizer.fail("a ByteLevel step");
  return read;
}

}  // namespace krait
