#include "src/engine/resolve.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "krait/error.h"
#include "src/engine/hub_cache.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultModel = "tales";

std::vector<std::string> default_bundled_folders() {
  std::vector<std::string> folders;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error)
    folders.push_back(
        (program.parent_path().parent_path() / "share" / "krait" / "models").string());
  folders.push_back(KRAIT_BUNDLED_SOURCE_DIR);
  return folders;
}

std::vector<std::string> models_in(const std::vector<std::string>& folders) {
  std::set<std::string> names;
  std::error_code error;
  for (const std::string& folder : folders)
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (fs::exists(entry.path() / "config.json", error))
        names.insert(entry.path().filename().string());
  return {names.begin(), names.end()};
}

// Levenshtein's.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

// The bundled name a typing mistake away: at most two edits and fewer than half the letters.
std::string nearest(const std::string& name, const std::vector<std::string>& bundled) {
  std::string best;
  size_t best_distance = 3;
  for (const std::string& candidate : bundled) {
    if (name.size() > candidate.size() + 2) continue;  // bounds the work, too
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance && 2 * distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

[[noreturn]] void fail_not_found(const std::string& name, const std::vector<std::string>& tried,
                                 const std::vector<std::string>& bundled) {
  std::string message = "model '" + name + "' not found. Looked for:";
  for (const std::string& place : tried) message += "\n  " + place;
  message += "\nBundled models:";
  for (const std::string& model : bundled) message += " " + model;
  if (bundled.empty()) message += " none";
  if (const std::string near = nearest(name, bundled); !near.empty())
    message += "\nDid you mean '" + near + "'?";
  throw InputError(message);
}

}  // namespace

ResolvedModel resolve_model(const std::string& name,
                            const std::vector<std::string>& bundled_folders) {
  const std::string wanted = name.empty() ? kDefaultModel : name;
  std::vector<std::string> tried;
  std::error_code error;
  if (!name.empty()) {
    if (fs::exists(name, error)) return {name, name};
    tried.push_back("the file or folder " + name);
  }
  const bool is_plain = wanted != "." && wanted != ".." && wanted.find('/') == std::string::npos;
  for (const std::string& folder : bundled_folders) {
    if (!is_plain) break;
    const fs::path path = fs::path(folder) / wanted;
    if (fs::is_directory(path, error)) return {wanted, path.string()};
    tried.push_back("the bundled model " + path.string());
  }
  const std::optional<HubId> id = name.empty() ? std::nullopt : parse_hub_id(name);
  const std::string cache = hub_cache_folder();
  if (id && !cache.empty()) {
    if (const auto snapshot = find_hub_snapshot(cache, *id)) return {name, *snapshot};
    tried.push_back("the Hugging Face cache " + hub_repository_folder(cache, *id) +
                    (id->revision.empty() ? "" : ", revision " + id->revision));
  }
  fail_not_found(wanted, tried, models_in(bundled_folders));
}

ResolvedModel resolve_model(const std::string& name) {
  return resolve_model(name, default_bundled_folders());
}

std::vector<std::string> bundled_models() { return models_in(default_bundled_folders()); }

std::string resolve_bundled_model(const std::string& name) {
  std::error_code error;
  for (const std::string& folder : default_bundled_folders())
    if (const fs::path path = fs::path(folder) / name; fs::is_directory(path, error))
      return path.string();
  throw InputError("there is no bundled model " + name);
}

}  // namespace krait
