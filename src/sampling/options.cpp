#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "krait/error.h"
#include "krait/sampler.h"

namespace krait {
namespace {

// Every token looks at all of them. The largest vocabularies have a quarter of that.
constexpr size_t kMaxBiases = size_t{1} << 20;

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", value);
  return buffer;
}

// Written so that NaN is refused: it satisfies no comparison.
void require(bool holds, const char* flag, double value, const char* expected) {
  if (!holds) throw InputError(std::string(flag) + " " + text(value) + ": expected " + expected);
}

}  // namespace

bool looks_back(const SamplingOptions& o) noexcept {
  return o.penalty_last_n != 0 &&
         (o.repeat_penalty != 1.0f || o.presence_penalty != 0.0f || o.frequency_penalty != 0.0f);
}

void validate(const SamplingOptions& o) {
  const float largest = std::numeric_limits<float>::max();
  require(o.temperature >= 0 && o.temperature <= largest, "--temp", o.temperature,
          "0 (greedy) or a positive number");
  require(o.top_k >= 0, "--top-k", o.top_k, "0 (off) or a positive whole number");
  require(o.top_p > 0 && o.top_p <= 1, "--top-p", o.top_p, "a number in (0, 1]");
  require(o.min_p >= 0 && o.min_p <= 1, "--min-p", o.min_p, "a number in [0, 1]");
  require(o.typical_p > 0 && o.typical_p <= 1, "--typical", o.typical_p, "a number in (0, 1]");
  require(o.repeat_penalty > 0 && o.repeat_penalty <= largest, "--repeat-penalty", o.repeat_penalty,
          "a positive number, 1 for none");
  require(std::isfinite(o.presence_penalty), "--presence-penalty", o.presence_penalty,
          "a finite number");
  require(std::isfinite(o.frequency_penalty), "--frequency-penalty", o.frequency_penalty,
          "a finite number");
  require(o.penalty_last_n >= -1 && o.penalty_last_n <= 1'000'000, "--repeat-last-n",
          o.penalty_last_n, "-1 (everything), 0 (off) or a whole number up to 1000000");
  if (o.logit_bias.size() > kMaxBiases)
    throw InputError("--logit-bias: " + std::to_string(o.logit_bias.size()) +
                     " values; expected at most " + std::to_string(kMaxBiases));
  for (const auto& [id, value] : o.logit_bias)
    if (id < 0 || std::isnan(value) || value > largest)
      throw InputError("--logit-bias " + std::to_string(id) + "=" + text(value) +
                       ": expected an id >= 0 and a finite number or -inf");
}

}  // namespace krait
