// Files of weights, one or several shards of any one container, as a Checkpoint.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "krait/checkpoint.h"
#include "src/formats/weights_file.h"

namespace krait {

// A container: its name as Checkpoint::container() answers it, and how a file of it is read (throws
// InputError).
struct WeightsFormat {
  std::string_view name;
  WeightsFile (*read)(const std::string& path);
};

// `source` is what Checkpoint::source() answers. Throw InputError.
std::unique_ptr<Checkpoint> open_single_file(const std::string& source, const std::string& file,
                                             nlohmann::json config, const WeightsFormat& format);

// `index` is a model.safetensors.index.json or pytorch_model.bin.index.json:
// {"weight_map": {tensor: file beside the index}}. Tensors of the shards that it does not map are
// left out.
std::unique_ptr<Checkpoint> open_shards(const std::string& source, const std::string& index,
                                        nlohmann::json config, const WeightsFormat& format);

}  // namespace krait
