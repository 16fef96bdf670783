// ModelConfig from the metadata of a GGUF file.
#pragma once

#include "krait/model.h"

namespace krait {

// Keys of our own, for what the format has no key for. Other programs do not read them.
inline constexpr const char* kKraitMixerEps = "krait.mixer_rms_eps";  // Mamba1Config's, a float
inline constexpr const char* kKraitVocabSize = "krait.vocab_size";    // ModelConfig's, an integer

// Whether the config came from a GGUF file.
bool is_gguf_config(const nlohmann::json& config);

// As read_model_config: tensor shapes win over metadata.
ModelConfig read_gguf_config(const Checkpoint& checkpoint, const Warn& warn);

}  // namespace krait
