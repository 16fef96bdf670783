// Where a model keeps its chat template.
#include <filesystem>

#include <nlohmann/json.hpp>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/base/file.h"
#include "src/engine/companions.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFile = "chat_template.jinja";
constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kKey = "chat_template";
constexpr const char* kGgufKey = "tokenizer.chat_template";
constexpr size_t kMaxFileBytes = 4 << 20;

// Of several templates, [{"name": ..., "template": ...}], the one called "default".
std::optional<std::string> default_of(const json& list, const std::string& where) {
  for (const json& entry : list) {
    const bool well_formed = entry.is_object() && entry.contains("name") &&
                             entry.contains("template") && entry["name"].is_string() &&
                             entry["template"].is_string();
    if (!well_formed)
      throw InputError(where + " is a list with an entry that is not {\"name\": text, " +
                       "\"template\": text}");
    if (entry["name"] == "default") return entry["template"].get<std::string>();
  }
  return std::nullopt;
}

std::optional<std::string> template_in(const json& object, const char* key,
                                       const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  const std::string where = source + ": " + key;
  if (found->is_array()) return default_of(*found, where);
  throw InputError(where + " is " + found->type_name() + "; expected text or a list of templates");
}

}  // namespace

std::optional<std::string> chat_template(const ModelFiles& files) {
  const fs::path folder = model_folder(files);
  if (const fs::path file = folder / kFile; fs::exists(file))
    return read_text_file(file.string(), kMaxFileBytes);
  if (auto text = template_in(read_companion(files, kConfig), kKey, (folder / kConfig).string()))
    return text;
  return template_in(files.checkpoint->config(), kGgufKey, files.checkpoint->source());
}

}  // namespace krait
