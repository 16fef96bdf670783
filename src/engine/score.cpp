// Log-probabilities of a given text.
#include <cmath>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/engine/log_probability.h"

namespace krait {

ScoreResult score(Engine& engine, std::span<const int32_t> ids,
                  const std::function<void(std::span<const float>)>& on_logits,
                  const std::atomic<bool>* stop) {
  if (ids.empty()) throw InputError("there is nothing to score: expected at least one token");
  ScoreResult result;
  result.tokens.push_back({ids[0], 0.0});
  const std::unique_ptr<Session> session = engine.session();
  const int64_t count = static_cast<int64_t>(ids.size());
  const auto every = [&](int64_t index, std::span<const float> logits) {
    if (on_logits) on_logits(logits);
    if (index + 1 >= count) return;
    // Padding rows of the vocabulary are no tokens; an id among them is scored with all rows.
    const int32_t next = ids[index + 1];
    const int64_t vocabulary = next < engine.sampled_vocab() ? engine.sampled_vocab()
                                                             : static_cast<int64_t>(logits.size());
    const double logprob = log_probability(logits.first(vocabulary), next);
    result.tokens.push_back({next, logprob});
    result.nll -= logprob;
  };
  session->feed(ids, every, stop);
  const auto scored = static_cast<double>(result.tokens.size() - 1);
  result.perplexity = scored > 0 ? std::exp(result.nll / scored) : 1.0;
  return result;
}

}  // namespace krait
