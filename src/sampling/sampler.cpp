#include "krait/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "krait/error.h"

namespace krait {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

Sampler::Sampler(SamplingOptions options, int32_t vocab_size, uint64_t seed, uint64_t sequence)
    : options_(std::move(options)), vocab_size_(vocab_size), seed_(seed), sequence_(sequence) {
  KRAIT_CHECK(vocab_size > 0);
  validate(options_);
  for (const auto& [id, value] : options_.logit_bias)
    if (id >= vocab_size)
      throw InputError("--logit-bias: there is no id " + std::to_string(id) +
                       "; the ids of this model go from 0 to " + std::to_string(vocab_size - 1));
  if (looks_back(options_)) {
    counts_.resize(static_cast<size_t>(vocab_size));
    if (options_.penalty_last_n > 0) window_.reserve(static_cast<size_t>(options_.penalty_last_n));
  }
}

bool Sampler::before(const Candidate& a, const Candidate& b) noexcept {
  return a.rank < b.rank || (a.rank == b.rank && a.id < b.id);
}

void Sampler::accept(int32_t id) {
  if (counts_.empty()) return;
  const auto count = [&](int32_t which, int32_t change) {
    if (which >= 0 && which < vocab_size_) counts_[static_cast<size_t>(which)] += change;
  };
  count(id, 1);
  if (options_.penalty_last_n < 0) return;  // nothing ever leaves the window
  if (window_.size() < static_cast<size_t>(options_.penalty_last_n)) {
    window_.push_back(id);
    return;
  }
  count(window_[oldest_], -1);
  window_[oldest_] = id;
  oldest_ = (oldest_ + 1) % window_.size();
}

int32_t Sampler::sample(std::span<const float> logits, uint64_t position) {
  KRAIT_CHECK(logits.size() >= static_cast<size_t>(vocab_size_));
  adjust(logits.first(static_cast<size_t>(vocab_size_)));
  if (options_.temperature == 0.0f || options_.top_k == 1) {
    // max_element returns the first of equals: the lowest id.
    return static_cast<int32_t>(std::max_element(logits_.begin(), logits_.end()) - logits_.begin());
  }
  const size_t k = static_cast<size_t>(options_.top_k);
  if (k > 0 && k < logits_.size()) {
    collect_top(k);
  } else {
    collect();
  }
  if (options_.typical_p < 1.0f) keep_typical();
  if (options_.top_p < 1.0f) {
    for (Candidate& c : candidates_) c.rank = -c.logit;
    keep_mass(options_.top_p);
  }
  return draw(position);
}

// Bias, then penalties; and the check that what the model gave can be sampled at all.
void Sampler::adjust(std::span<const float> logits) {
  logits_.assign(logits.begin(), logits.end());
  for (const auto& [id, value] : options_.logit_bias) logits_[static_cast<size_t>(id)] += value;
  for (size_t id = 0; id < counts_.size(); ++id) {
    if (counts_[id] == 0) continue;
    float& logit = logits_[id];
    // Multiplying a negative logit (instead of dividing it) makes the id less likely, not more.
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    logit -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(counts_[id]);
  }
  bool any = false;
  for (size_t id = 0; id < logits_.size(); ++id) {
    if (!(logits_[id] < kInfinity))
      throw Failure("the logit of token " + std::to_string(id) + " is " +
                    std::to_string(logits_[id]) + "; the model's output is not usable");
    any = any || logits_[id] > -kInfinity;
  }
  if (!any) throw Failure("no token can be chosen: the logits of all of them are -inf");
}

void Sampler::collect() {
  candidates_.clear();
  for (size_t id = 0; id < logits_.size(); ++id)
    if (logits_[id] > -kInfinity)
      candidates_.push_back({logits_[id], static_cast<int32_t>(id), 0, 0});
}

// The k best in one pass: a heap with the worst of them on top, which most ids do not enter. In the
// end best first: sums over them have one order, whoever makes them.
void Sampler::collect_top(size_t k) {
  candidates_.clear();
  for (size_t id = 0; id < logits_.size(); ++id) {
    const float logit = logits_[id];
    if (logit == -kInfinity) continue;
    if (candidates_.size() == k) {
      // Ids come in rising order, so an equal logit is no better than the one already there.
      if (logit <= candidates_.front().logit) continue;
      std::pop_heap(candidates_.begin(), candidates_.end(), before);
      candidates_.pop_back();
    }
    candidates_.push_back({logit, static_cast<int32_t>(id), 0, -logit});
    std::push_heap(candidates_.begin(), candidates_.end(), before);
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), before);
}

// Sets the weights; returns their sum.
double Sampler::weigh(double temperature) {
  double highest = -static_cast<double>(kInfinity);
  for (const Candidate& c : candidates_) highest = std::max<double>(highest, c.logit);
  double sum = 0;
  for (Candidate& c : candidates_) {
    c.weight = std::exp((c.logit - highest) / temperature);
    sum += c.weight;
  }
  return sum;
}

// Locally typical sampling (Meister et al., TACL 2023): the ids whose surprise -log p is nearest to
// the entropy come first.
void Sampler::keep_typical() {
  const double sum = weigh(1.0);
  double entropy = 0;
  for (Candidate& c : candidates_) {
    const double p = c.weight / sum;
    c.rank = -std::log(p);  // infinite where p is too small for a double
    if (p > 0) entropy += p * c.rank;
  }
  for (Candidate& c : candidates_) c.rank = std::abs(c.rank - entropy);
  keep_mass(options_.typical_p);
}

// Keeps the first candidates by rank whose probabilities together reach `mass`. Sorts only as far
// as needed, in growing pieces.
void Sampler::keep_mass(double mass) {
  const double wanted = mass * weigh(1.0);
  double reached = 0;
  size_t kept = 0;
  size_t sorted = 0;
  while (kept < candidates_.size() && (kept == 0 || reached < wanted)) {
    if (kept == sorted) {
      const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
      sorted = std::min(candidates_.size(), sorted == 0 ? 64 : sorted * 4);
      std::partial_sort(begin, candidates_.begin() + static_cast<std::ptrdiff_t>(sorted),
                        candidates_.end(), before);
    }
    reached += candidates_[kept++].weight;
  }
  candidates_.resize(kept);
}

// Min-p, temperature, and the draw over what is left, in the order of ids.
int32_t Sampler::draw(uint64_t position) {
  if (options_.min_p > 0) {
    weigh(1.0);
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < options_.min_p; });
  }
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
  if (!std::is_sorted(candidates_.begin(), candidates_.end(), by_id))
    std::sort(candidates_.begin(), candidates_.end(), by_id);
  const double sum = weigh(options_.temperature);
  const double target = uniform_at(seed_, sequence_, position) * sum;
  double reached = 0;
  for (const Candidate& c : candidates_) {
    reached += c.weight;
    if (target < reached) return c.id;
  }
  return candidates_.back().id;  // only by rounding: target < sum
}

}  // namespace krait
