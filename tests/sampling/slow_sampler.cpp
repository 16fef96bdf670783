#include "tests/sampling/slow_sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

namespace krait {
namespace {

struct Entry {
  double logit;
  int32_t id;
};

std::vector<double> softmax(const std::vector<Entry>& entries, double temperature) {
  double highest = entries[0].logit;
  for (const Entry& e : entries) highest = std::max(highest, e.logit);
  std::vector<double> p;
  double sum = 0;
  for (const Entry& e : entries) sum += p.emplace_back(std::exp((e.logit - highest) / temperature));
  for (double& x : p) x /= sum;
  return p;
}

void sort_by(std::vector<Entry>& entries, const std::function<double(const Entry&)>& rank) {
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const Entry& a, const Entry& b) { return rank(a) < rank(b); });
}

// Shortest prefix whose probabilities reach p.
void cut_at_mass(std::vector<Entry>& entries, double p) {
  const std::vector<double> probability = softmax(entries, 1);
  double sum = 0;
  size_t kept = 0;
  while (kept < entries.size() && (kept == 0 || sum < p)) sum += probability[kept++];
  entries.resize(kept);
}

void sort_by_id(std::vector<Entry>& entries) {
  sort_by(entries, [](const Entry& e) { return static_cast<double>(e.id); });
}

float penalized(const SamplingOptions& o, float logit, int32_t id,
                std::span<const int32_t> history) {
  const size_t n = o.penalty_last_n < 0
                       ? history.size()
                       : std::min(history.size(), static_cast<size_t>(o.penalty_last_n));
  const auto count = std::count(history.end() - static_cast<std::ptrdiff_t>(n), history.end(), id);
  if (count == 0) return logit;
  logit = logit > 0 ? logit / o.repeat_penalty : logit * o.repeat_penalty;
  return logit - (o.presence_penalty + o.frequency_penalty * static_cast<float>(count));
}

}  // namespace

int32_t slow_sample(const SamplingOptions& o, int32_t vocab, std::span<const float> logits,
                    std::span<const int32_t> history, uint64_t seed, uint64_t sequence,
                    uint64_t position) {
  std::vector<Entry> entries;
  for (int32_t id = 0; id < vocab; ++id) {
    float logit = logits[static_cast<size_t>(id)];
    for (const auto& [biased, value] : o.logit_bias)
      if (biased == id) logit += value;
    logit = penalized(o, logit, id, history);
    if (std::isfinite(logit)) entries.push_back({logit, id});
  }
  const auto by_logit = [](const Entry& e) { return -e.logit; };
  if (o.temperature == 0) {
    sort_by(entries, by_logit);
    return entries[0].id;
  }
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < entries.size()) {
    sort_by(entries, by_logit);
    entries.resize(static_cast<size_t>(o.top_k));
  }
  if (o.typical_p < 1) {
    sort_by_id(entries);
    double entropy = 0;
    for (const double p : softmax(entries, 1))
      if (p > 0) entropy -= p * std::log(p);
    const double log_sum = entries[0].logit - std::log(softmax(entries, 1)[0]);
    sort_by(entries, [&](const Entry& e) { return std::abs(log_sum - e.logit - entropy); });
    cut_at_mass(entries, o.typical_p);
  }
  if (o.top_p < 1) {
    sort_by_id(entries);
    sort_by(entries, by_logit);
    cut_at_mass(entries, o.top_p);
  }
  sort_by(entries, by_logit);
  const double highest = entries[0].logit;
  std::erase_if(entries, [&](const Entry& e) { return std::exp(e.logit - highest) < o.min_p; });
  sort_by_id(entries);
  const std::vector<double> p = softmax(entries, o.temperature);
  double left = uniform_at(seed, sequence, position);
  for (size_t i = 0; i < entries.size(); ++i) {
    left -= p[i];
    if (left < 0) return entries[i].id;
  }
  return entries.back().id;
}

std::vector<float> random_logits(uint64_t seed, int32_t size) {
  std::mt19937_64 random(seed);
  const float spread = std::uniform_real_distribution<float>(0.1f, 6.0f)(random);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits;
  for (int32_t i = 0; i < size; ++i) {
    logits.push_back(normal(random));
    // Halves tie often; the reference and the sampler must break such ties alike.
    if (seed % 3 == 0) logits.back() = std::round(logits.back() * 2) / 2;
    if (seed % 5 == 0 && i % 4 == 3) logits.back() = -std::numeric_limits<float>::infinity();
  }
  return logits;
}

std::vector<SamplingOptions> filter_cases(uint64_t seed) {
  std::mt19937_64 random(seed + 1);
  const auto between = [&](float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(random);
  };
  SamplingOptions off;
  off.temperature = between(0.3f, 2.0f);
  off.top_k = 0;
  off.top_p = 1;
  off.min_p = 0;
  std::vector<SamplingOptions> cases(8, off);
  const int32_t k = std::uniform_int_distribution<int32_t>(2, 60)(random);
  cases[1].top_k = cases[7].top_k = k;
  cases[2].top_p = cases[7].top_p = between(0.05f, 0.999f);
  cases[3].min_p = cases[7].min_p = between(0.001f, 0.9f);
  cases[4].typical_p = cases[7].typical_p = between(0.05f, 0.999f);
  cases[5].repeat_penalty = cases[7].repeat_penalty = between(0.8f, 1.6f);
  cases[5].presence_penalty = cases[7].presence_penalty = between(-1.0f, 1.0f);
  cases[5].frequency_penalty = cases[7].frequency_penalty = between(-1.0f, 1.0f);
  cases[5].penalty_last_n = cases[7].penalty_last_n = static_cast<int32_t>(seed % 6) - 1;
  cases[6].logit_bias = cases[7].logit_bias = {{0, between(-3, 3)}, {2, between(-3, 3)}};
  cases[6].temperature = 0;
  return cases;
}

}  // namespace krait
