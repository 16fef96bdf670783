// Files of weights, one or several shards of any one container, as a Checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/checkpoint.h"
#include "src/formats/weights_file.h"

namespace krait {

// Reads one file of weights, whatever its container. Throws InputError.
using WeightsReader = std::function<WeightsFile(const std::string& path)>;

// The object that describes the model, and what the file it came from is called.
struct ConfigFile {
  std::string name;  // "config.json"
  nlohmann::json document;
};

// `source` is what Checkpoint::source() answers. Throw InputError.
std::unique_ptr<Checkpoint> open_single_file(const std::string& source, const std::string& file,
                                             ConfigFile config, const WeightsReader& read);

// `index` is a model.safetensors.index.json or the like: {"weight_map": {tensor: file beside the
// index}}. Tensors of the shards that it does not map are left out.
std::unique_ptr<Checkpoint> open_shards(const std::string& source, const std::string& index,
                                        ConfigFile config, const WeightsReader& read);

}  // namespace krait
