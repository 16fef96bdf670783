// `krait bench --profile`: where the time of a test went.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "krait/bench.h"

namespace krait::cli {

// "47%"
std::string percent(double share);

// A table of the stages, the longest first, in microseconds per token (of a batch: per step).
std::string stage_table(const BenchResult& result);

nlohmann::ordered_json stages_json(const std::vector<Profile::Stage>& stages);

}  // namespace krait::cli
