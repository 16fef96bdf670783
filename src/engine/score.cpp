// Log-probabilities of a given text.
#include <cmath>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/engine/log_softmax.h"

namespace krait {

std::vector<ScoredToken> score_next(const Engine& engine, Session& session,
                                    std::span<const int32_t> ids,
                                    const std::function<void(std::span<const float>)>& on_logits,
                                    const std::atomic<bool>* stop) {
  const int64_t count = static_cast<int64_t>(ids.size());
  std::vector<ScoredToken> tokens;
  tokens.reserve(ids.size());
  const auto add = [&](int32_t id, std::span<const float> logits) {
    // Padding rows of the vocabulary are no tokens; an id among them is scored with all rows.
    const int64_t vocabulary =
        id < engine.sampled_vocab() ? engine.sampled_vocab() : static_cast<int64_t>(logits.size());
    tokens.push_back({id, LogSoftmax(logits.first(vocabulary))(id)});
  };
  const auto every = [&](int64_t index, std::span<const float> logits) {
    if (on_logits) on_logits(logits);
    if (index + 1 < count) add(ids[index + 1], logits);
  };
  if (count == 0) return tokens;
  if (session.logits().empty()) {
    tokens.push_back({ids[0], 0.0});
  } else if (ids[0] >= 0 && ids[0] < std::ssize(session.logits())) {  // else feed() refuses it
    add(ids[0], session.logits());
  }
  session.feed(ids, every, stop);
  return tokens;
}

ScoreResult score(Engine& engine, std::span<const int32_t> ids,
                  const std::function<void(std::span<const float>)>& on_logits,
                  const std::atomic<bool>* stop) {
  if (ids.empty()) throw InputError("there is nothing to score: expected at least one token");
  const std::unique_ptr<Session> session = engine.session(History::discard);
  ScoreResult result;
  result.tokens = score_next(engine, *session, ids, on_logits, stop);
  for (const ScoredToken& token : std::span(result.tokens).subspan(1)) result.nll -= token.logprob;
  const auto scored = static_cast<double>(result.tokens.size() - 1);
  result.perplexity = scored > 0 ? std::exp(result.nll / scored) : 1.0;
  return result;
}

}  // namespace krait
