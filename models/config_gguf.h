// ModelConfig from the metadata of a GGUF file.
#pragma once

#include "krait/model.h"

namespace krait {

// Whether the config came from a GGUF file.
bool is_gguf_config(const nlohmann::json& config);

// As read_model_config: tensor shapes win over metadata.
ModelConfig read_gguf_config(const Checkpoint& checkpoint, const Warn& warn);

}  // namespace krait
