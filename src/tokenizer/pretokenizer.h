// Cuts text into the pieces that merges never cross.
#pragma once

#include <string_view>
#include <vector>

#include "src/tokenizer/regex.h"

namespace krait {

// The GPT-2 pattern (GPT-2, encoder.py), in the characters of Hugging Face tokenizers.
Regex gpt2_pattern();

// Runs of numbers, or with `individual` every number, cut from the rest.
Regex digits_pattern(bool individual);

// Immutable and safe to share between threads.
class PreTokenizer {
 public:
  // The memory of one thread's work. The PreTokenizer must outlive it.
  using Workspace = std::vector<Regex::Matcher>;

  // Every step cuts the pieces of the step before: a match is a piece, and so is what lies between
  // two matches. Without steps the text is one piece.
  explicit PreTokenizer(std::vector<Regex> steps) : steps_(std::move(steps)) {}

  Workspace workspace() const { return {steps_.begin(), steps_.end()}; }

  // Calls sink(piece) for the pieces in order; none is empty, together they are `text` (valid
  // UTF-8).
  template <class Sink>
  void split(std::string_view text, Workspace& workspace, Sink&& sink) const {
    split_from(0, text, workspace, sink);
  }

 private:
  template <class Sink>
  void split_from(size_t step, std::string_view text, Workspace& workspace, Sink& sink) const {
    if (text.empty()) return;
    if (step == workspace.size()) return sink(text);
    size_t done = 0;
    for (Regex::Match match; done < text.size(); done = match.end) {
      if (!workspace[step].find(text, done, match)) match = {text.size(), text.size()};
      split_from(step + 1, text.substr(done, match.begin - done), workspace, sink);
      split_from(step + 1, text.substr(match.begin, match.end - match.begin), workspace, sink);
    }
  }

  std::vector<Regex> steps_;
};

}  // namespace krait
