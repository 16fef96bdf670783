// Cuts text into the pieces that merges never cross.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/tokenizer/byte_alphabet.h"
#include "src/tokenizer/regex.h"

namespace krait {

// What becomes of the matches of a step and of the text between them.
enum class SplitBehavior {
  isolated,              // every match is a piece, and so is what lies between two
  contiguous,            // as isolated, but adjacent matches are one piece
  removed,               // matches are dropped
  merged_with_previous,  // a match belongs to the piece before it
  merged_with_next,
};

// One way to cut text.
struct SplitStep {
  std::string pattern;  // PCRE2; must compile and not match the empty string
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;       // what lies between matches counts as match, and the other way round
  bool on_alphabet = false;  // sees the text's bytes spelled in the byte alphabet

  bool operator==(const SplitStep&) const = default;
};

// The GPT-2 pattern (GPT-2, encoder.py), in the characters of Hugging Face tokenizers.
SplitStep gpt2_step();
// Runs of numbers, or with `individual` every number, cut from the rest.
SplitStep digits_step(bool individual);
// Every punctuation character, or with `contiguous` every run of them, cut from the rest.
SplitStep punctuation_step(bool contiguous);

// The steps of well-known families.
std::vector<SplitStep> gpt2_steps();
std::vector<SplitStep> falcon_steps();
std::vector<SplitStep> llama3_steps();

// Immutable and safe to share between threads.
class PreTokenizer {
 public:
  // The memory of one thread's work. The PreTokenizer must outlive it.
  struct Workspace {
    std::vector<Regex::Matcher> matchers;
  };

  // Every step cuts the pieces of the step before. Without steps the text is one piece. Steps on
  // the byte alphabet come last.
  explicit PreTokenizer(std::vector<SplitStep> steps);

  const std::vector<SplitStep>& steps() const noexcept { return steps_; }

  Workspace workspace() const { return {{patterns_.begin(), patterns_.end()}}; }

  // Calls sink(piece) for the pieces in order; none is empty; together they are `text` (valid
  // UTF-8) but for what steps remove.
  template <class Sink>
  void split(std::string_view text, Workspace& workspace, Sink&& sink) const {
    split_from(0, false, text, workspace, sink);
  }

 private:
  // `spelled`: the text is in the byte alphabet.
  template <class Sink>
  void split_from(size_t step, bool spelled, std::string_view text, Workspace& workspace,
                  Sink& sink) const {
    if (text.empty()) return;
    if (step == steps_.size()) return spelled ? sink(*bytes_from_alphabet(text)) : sink(text);
    if (steps_[step].on_alphabet && !spelled)
      return split_from(step, true, alphabet_from_bytes(text), workspace, sink);
    cut(step, text, workspace.matchers[step],
        [&](std::string_view piece) { split_from(step + 1, spelled, piece, workspace, sink); });
  }

  template <class Sink>
  void cut(size_t step, std::string_view text, Regex::Matcher& matcher, Sink&& sink) const {
    const SplitStep& rule = steps_[step];
    size_t begin = 0;  // of the piece at hand
    size_t done = 0;   // its end, and that of the last stretch
    bool last_matched = false;
    // The next stretch is a match or what lies between two.
    const auto finish_piece = [&] {
      if (!(last_matched && rule.behavior == SplitBehavior::removed))
        sink(text.substr(begin, done - begin));
      begin = done;
    };
    const auto take = [&](size_t end, bool matched) {
      if (end == done) return;
      if (done > 0 && !joins(rule.behavior, last_matched, matched)) finish_piece();
      done = end;
      last_matched = matched;
    };
    for (Regex::Match match; done < text.size();) {
      if (!matcher.find(text, done, match)) match = {text.size(), text.size()};
      take(match.begin, rule.invert);
      take(match.end, !rule.invert);
    }
    finish_piece();
  }

  // Whether a stretch belongs to the piece of the one before it.
  static bool joins(SplitBehavior behavior, bool last_matched, bool matched) noexcept {
    switch (behavior) {
      case SplitBehavior::contiguous: return last_matched == matched;
      case SplitBehavior::merged_with_previous: return matched && !last_matched;
      case SplitBehavior::merged_with_next: return last_matched && !matched;
      default: return false;
    }
  }

  std::vector<SplitStep> steps_;
  std::vector<Regex> patterns_;  // of steps_
};

}  // namespace krait
