// From a path to an open checkpoint.
#pragma once

#include <memory>
#include <string>

#include "krait/checkpoint.h"

namespace krait {

// `path` is a folder in the Hugging Face layout: config.json beside, in the order of preference,
// model.safetensors, model.safetensors.index.json and its shards, pytorch_model.bin,
// pytorch_model.bin.index.json and its shards. Or it is a .safetensors, .bin, .pt or .pth file with
// config.json beside it, or a .gguf file, whose metadata are the config. The weights are mapped,
// not read. Throws InputError naming the file and what is wrong with it.
std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path);

}  // namespace krait
