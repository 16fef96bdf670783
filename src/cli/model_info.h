// What `krait info` tells of a model, as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "krait/engine.h"

namespace krait::cli {

// One object; its field names are part of the command line's interface. Weights are not read.
// Warns, once, of tensors that have a type krait does not read.
nlohmann::ordered_json model_info(const ModelFiles& files, const DeviceInfo& device,
                                  const Warn& warn);

}  // namespace krait::cli
