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

struct Found {
  std::string text, file;
};

std::optional<std::string> template_in(const json& object, const char* key,
                                       const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  const std::string where = source + ": " + key;
  if (found->is_array()) return default_of(*found, where);
  throw InputError(where + " is " + found->type_name() + "; expected text or a list of templates");
}

std::optional<Found> find(const ModelFiles& files, const json& tokenizer_config) {
  const fs::path folder = model_folder(files);
  if (const fs::path file = folder / kFile; fs::exists(file))
    return Found{read_text_file(file.string(), kMaxFileBytes), file.string()};
  const std::string config = (folder / kConfig).string();
  if (auto text = template_in(tokenizer_config, kKey, config)) return Found{*text, config};
  const std::string source = files.checkpoint->source();
  if (auto text = template_in(files.checkpoint->config(), kGgufKey, source))
    return Found{*text, source};
  return std::nullopt;
}

// A token given as its text, or as an object with the text in "content"; else that of `id`.
std::string token_text(const json& object, const char* key, const ModelFiles& files, int32_t id) {
  auto found = object.find(key);
  if (found != object.end() && found->is_object()) {
    const auto content = found->find("content");
    if (content != found->end() && content->is_string()) return content->get<std::string>();
  } else if (found != object.end() && found->is_string()) {
    return found->get<std::string>();
  }
  return files.tokenizer && id >= 0 ? std::string(files.tokenizer->token_text(id)) : "";
}

}  // namespace

std::optional<std::string> chat_template(const ModelFiles& files) {
  const auto found = find(files, read_companion(files, kConfig));
  return found ? std::optional(found->text) : std::nullopt;
}

ChatSource chat_source(const ModelFiles& files) {
  const json config = read_companion(files, kConfig);
  const std::vector<int32_t>& eos = files.special.eos;
  ChatSource source;
  source.bos_token = token_text(config, "bos_token", files, files.special.bos);
  source.eos_token = token_text(config, "eos_token", files, eos.empty() ? -1 : eos.front());
  if (auto found = find(files, config)) {
    source.text = std::move(found->text);
    source.file = std::move(found->file);
  }
  return source;
}

}  // namespace krait
