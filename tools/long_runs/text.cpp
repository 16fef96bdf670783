#include <algorithm>
#include <vector>

#include "tools/long_runs/runs.h"

namespace krait::long_runs {

bool text(const Options& options) {
  const auto engine = open(options.model, options);
  const auto session = engine->session(History::discard);
  const std::vector<int32_t> prompt = {1, 2, 3};
  session->feed(prompt);
  const int64_t part = options.part(options.tokens);
  const int32_t vocabulary = engine->sampled_vocab();
  SamplingOptions sampling;
  sampling.temperature = 1;

  Parts parts("Tokens written in one session (" + options.model + ")", "tokens");
  std::vector<int64_t> drawn(static_cast<size_t>(vocabulary));
  for (int i = 0; i < kParts; ++i) {
    // A draw throws for logits that are no numbers.
    session->advance(sampling, 1, 0, part, [&](int32_t id) {
      ++drawn[static_cast<size_t>(id)];
      return Verdict::feed;
    });
    parts.done(part);
  }
  const int64_t kinds = std::count_if(drawn.begin(), drawn.end(), [](int64_t n) { return n > 0; });
  const bool whole =
      check(session->position() == 3 + kParts * part,
            "the session is " + std::to_string(session->position()) + " tokens long; " +
                std::to_string(kinds) + " different ones were written");
  return parts.flat() && whole;
}

}  // namespace krait::long_runs
