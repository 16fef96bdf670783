#include "src/cli/bench_profile.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace krait::cli {
namespace {

constexpr const char* kLine =
    "| {:<10} | {:>8} | {:>9} | {:>5} | {:>6} | {:>6} | {:>7} | {:>10} |\n";

std::string stage_line(const Profile::Stage& stage, const BenchResult& r, double total_ms) {
  const bool decode = r.n_prompt == 0;
  const auto steps = static_cast<double>(r.n_prompt + r.n_gen);
  std::string gb_s, memory, gflop_s, arithmetic;
  if (stage.weight_bytes > 0 && decode) {
    const double value = stage.weight_bytes / stage.ms * 1e-6;
    gb_s = fmt::format("{:.1f}", value);
    memory = percent(value / r.roof_gb_s);
  }
  if (stage.multiply_adds > 0) {
    const double value = 2 * stage.multiply_adds / stage.ms * 1e-6;
    gflop_s = fmt::format("{:.0f}", value);
    arithmetic = percent(value / r.roof_gflop_s);
  }
  return fmt::format(fmt::runtime(kLine), stage.name, stage.calls,
                     fmt::format("{:.2f}", stage.ms * 1e3 / steps), percent(stage.ms / total_ms),
                     gb_s, memory, gflop_s, arithmetic);
}

}  // namespace

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

std::string stage_table(const BenchResult& result) {
  std::vector<Profile::Stage> stages = result.stages;
  std::stable_sort(stages.begin(), stages.end(),
                   [](const auto& a, const auto& b) { return a.ms > b.ms; });
  double total_ms = 0;
  for (const auto& stage : stages) total_ms += stage.ms;
  std::string text = fmt::format(fmt::runtime(kLine), test_name(result), "calls",
                                 result.batch > 1 ? "us/step" : "us/token", "time", "GB/s",
                                 "memory", "GFLOP/s", "arithmetic");
  text +=
      fmt::format(fmt::runtime(kLine), "----------",
                  "-------:", "--------:", "----:", "-----:", "-----:", "------:", "---------:");
  for (const auto& stage : stages) text += stage_line(stage, result, total_ms);
  return text;
}

nlohmann::ordered_json stages_json(const std::vector<Profile::Stage>& stages) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& stage : stages)
    json.push_back({{"stage", stage.name},
                    {"calls", stage.calls},
                    {"ms", stage.ms},
                    {"weight_bytes", stage.weight_bytes},
                    {"multiply_adds", stage.multiply_adds}});
  return json;
}

}  // namespace krait::cli
