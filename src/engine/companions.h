// The files that lie beside a model's weights.
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/engine.h"

namespace krait {

// The folder of the model, or of the file that it is.
std::filesystem::path model_folder(const ModelFiles& files);

// The object in the JSON file of that name; an empty one when there is no such file. Throws
// InputError when it holds anything else.
nlohmann::json read_companion(const ModelFiles& files, const std::string& name);

}  // namespace krait
