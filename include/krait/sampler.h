// From logits to a token id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace krait {

// Defaults are llama.cpp's, which filter mildly; temperature 0 or top_k 1 is greedy.
// Order: logit bias, penalties, then (unless greedy) top-k, typical, top-p, min-p, temperature,
// draw: llama.cpp's order, so that the same flags mean the same here. Each filter sees the
// probabilities of what the one before it left, and always leaves at least one id.
struct SamplingOptions {
  float temperature = 0.8f;
  int32_t top_k = 40;                                 // 0: off
  float top_p = 0.95f;                                // 1: off
  float min_p = 0.05f;                                // 0: off
  float typical_p = 1.0f;                             // 1: off
  float repeat_penalty = 1.0f;                        // 1: off; over the last `penalty_last_n` ids
  float presence_penalty = 0.0f;                      // 0: off
  float frequency_penalty = 0.0f;                     // 0: off
  int32_t penalty_last_n = 64;                        // 0: off, -1: the whole sequence
  std::vector<std::pair<int32_t, float>> logit_bias;  // id, added value (-inf bans)
};

// Whether the choice depends on the ids before: there are penalties.
bool looks_back(const SamplingOptions& options) noexcept;

// Throws InputError naming the option for a value out of range.
void validate(const SamplingOptions& options);

// A counter-based generator: the draw at (seed, sequence, position) depends on nothing else, so a
// sequence draws the same whatever the batch and wherever it was interrupted. Philox4x32-10
// (Salmon et al., SC 2011). Result in [0, 1).
double uniform_at(uint64_t seed, uint64_t sequence, uint64_t position) noexcept;

// One per sequence, used by one thread at a time. Keeps its scratch memory: nothing is allocated
// per token after the first.
class Sampler {
 public:
  // Only ids below `vocab_size` are ever chosen: padding rows of the logits are not looked at.
  // Throws InputError as validate() does, and for a bias on an id outside the vocabulary.
  Sampler(SamplingOptions options, int32_t vocab_size, uint64_t seed, uint64_t sequence = 0);

  // An id becomes part of the history that penalties look at (prompt and generated alike).
  void accept(int32_t id);

  // Chooses the id for `position` (the index of the new token in the sequence). `logits` has at
  // least vocab_size values; NaN, +inf or all -inf throws Failure. Ties go to the lowest id. Does
  // not call accept.
  int32_t sample(std::span<const float> logits, uint64_t position);

  const SamplingOptions& options() const noexcept { return options_; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight;  // exp((logit - highest logit) / temperature)
    double rank;    // what the current filter orders by, lowest first; ties go to the lowest id
  };
  static bool before(const Candidate& a, const Candidate& b) noexcept;

  void adjust(std::span<const float> logits);
  void collect();
  void collect_top(size_t k);
  double weigh(double temperature);
  void keep_typical();
  void keep_mass(double mass);
  int32_t draw(uint64_t position);

  SamplingOptions options_;
  int32_t vocab_size_;
  uint64_t seed_;
  uint64_t sequence_;
  std::vector<int32_t> window_;  // the last ids, a ring of penalty_last_n; unused when unlimited
  size_t oldest_ = 0;            // where the ring stands, once it is full
  std::vector<int32_t> counts_;  // how often each id is in the window
  std::vector<float> logits_;    // with bias and penalties
  std::vector<Candidate> candidates_;
};

}  // namespace krait
