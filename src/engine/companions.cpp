#include "src/engine/companions.h"

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {

namespace fs = std::filesystem;

fs::path model_folder(const ModelFiles& files) {
  const fs::path path = files.path;
  return fs::is_directory(path) ? path : path.parent_path();
}

nlohmann::json read_companion(const ModelFiles& files, const std::string& name) {
  const fs::path path = model_folder(files) / name;
  if (!fs::exists(path)) return nlohmann::json::object();
  nlohmann::json document = read_json_file(path.string());
  if (!document.is_object())
    throw InputError(path.string() + " holds " + document.type_name() + "; expected an object");
  return document;
}

}  // namespace krait
