// Safetensors files, one or several shards, as a Checkpoint.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/checkpoint.h"

namespace krait {

// `source` is what Checkpoint::source() answers. Throw InputError.
std::unique_ptr<Checkpoint> open_single_safetensors(const std::string& source,
                                                    const std::string& file, nlohmann::json config);

// `index` is a model.safetensors.index.json: {"weight_map": {tensor: file beside the index}}.
// Tensors of the shards that it does not map are left out.
std::unique_ptr<Checkpoint> open_sharded_safetensors(const std::string& source,
                                                     const std::string& index,
                                                     nlohmann::json config);

}  // namespace krait
