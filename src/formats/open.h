// From a path to an open checkpoint.
#pragma once

#include <memory>
#include <string>

#include "krait/checkpoint.h"

namespace krait {

// `path` is a file of weights, told by its content and not by its name: safetensors or PyTorch,
// with config.json beside it, or GGUF, whose metadata are the config. Or it is a folder with the
// first of: model.safetensors, model.safetensors.index.json and its shards, pytorch_model.bin,
// pytorch_model.bin.index.json and its shards, Mistral's consolidated.safetensors and its index, a
// single .gguf file. Where there is no config.json, Mistral's params.json takes its place. The
// weights are mapped, not read. Throws InputError naming the file and what is wrong with it.
std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path);

}  // namespace krait
