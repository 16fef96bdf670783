#include "src/engine/hub_cache.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "krait/error.h"
#include "src/base/file.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxRefBytes = 256;
constexpr std::string_view kDefaultRevision = "main";
constexpr std::string_view kModelPrefix = "models--";

// One component of a path inside the cache: no separators, nothing hidden, no "..".
bool is_component(std::string_view text) {
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.front() != '.' && std::all_of(text.begin(), text.end(), legal);
}

bool are_components(std::string_view text) {
  for (size_t slash = text.find('/'); slash != std::string_view::npos; slash = text.find('/')) {
    if (!is_component(text.substr(0, slash))) return false;
    text.remove_prefix(slash + 1);
  }
  return is_component(text);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// The commit a ref file holds; empty when there is no such ref.
std::string read_ref(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return "";
  std::string commit = read_text_file(path.string(), kMaxRefBytes);
  commit.erase(commit.find_last_not_of(" \r\n\t") + 1);
  if (!is_component(commit)) throw InputError(path.string() + " does not hold a commit");
  return commit;
}

std::vector<std::string> snapshots_of(const fs::path& repository) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(repository / "snapshots", error))
    if (const std::string name = entry.path().filename().string();
        is_component(name) && is_folder(entry.path()))
      names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

// What is wrong with a repository of which no snapshot was found.
std::string why_no_snapshot(const fs::path& repository) {
  if (!is_folder(repository)) return "not a folder";
  const std::string commit = read_ref(repository / "refs" / kDefaultRevision);
  if (commit.empty()) return "holds no snapshot: nothing was downloaded completely";
  return "refs/main names the commit " + commit + ", of which there is no snapshot";
}

void add_entries(const fs::directory_entry& folder, std::vector<HubEntry>& entries) {
  HubEntry entry;
  entry.path = folder.path().string();
  entry.name = folder.path().filename().string().substr(kModelPrefix.size());
  if (const size_t dashes = entry.name.find("--"); dashes != std::string::npos)
    entry.name.replace(dashes, 2, "/");
  try {
    const std::optional<HubId> id = parse_hub_id(entry.name);
    if (!id || !id->revision.empty()) {
      entry.problem = "not the name of a repository";
    } else if (const auto snapshots = snapshots_of(folder);
               snapshots.size() > 1 &&
               read_ref(folder.path() / "refs" / kDefaultRevision).empty()) {
      for (const std::string& commit : snapshots)
        entries.push_back(
            {entry.name + "@" + commit, (folder.path() / "snapshots" / commit).string(), ""});
      return;
    } else if (const auto snapshot = find_hub_snapshot(folder.path().parent_path().string(), *id)) {
      entry.path = *snapshot;
    } else {
      entry.problem = why_no_snapshot(folder.path());
    }
  } catch (const InputError& e) {
    entry.problem = e.what();
  }
  entries.push_back(std::move(entry));
}

}  // namespace

std::optional<HubId> parse_hub_id(std::string_view text) {
  HubId id;
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    id.revision = text.substr(at + 1);
    if (!are_components(id.revision)) return std::nullopt;
    text = text.substr(0, at);
  }
  if (!are_components(text) || std::count(text.begin(), text.end(), '/') > 1) return std::nullopt;
  id.repository = text;
  return id;
}

std::string hub_cache_folder() {
  struct Place {
    const char* variable;
    const char* below;
  };
  constexpr std::array<Place, 4> kPlaces = {{
      {"HF_HUB_CACHE", ""},
      {"HF_HOME", "hub"},
      {"XDG_CACHE_HOME", "huggingface/hub"},
      {"HOME", ".cache/huggingface/hub"},
  }};
  for (const Place& place : kPlaces)
    if (const fs::path folder = environment(place.variable); !folder.empty())
      return (*place.below ? folder / place.below : folder).string();
  return "";
}

std::string hub_repository_folder(const std::string& cache, const HubId& id) {
  std::string folder = std::string(kModelPrefix) + id.repository;
  if (const size_t slash = folder.find('/'); slash != std::string::npos)
    folder.replace(slash, 1, "--");
  return (fs::path(cache) / folder).string();
}

std::optional<std::string> find_hub_snapshot(const std::string& cache, const HubId& id) {
  const fs::path repository = hub_repository_folder(cache, id);
  const std::string revision = id.revision.empty() ? std::string(kDefaultRevision) : id.revision;
  std::string commit = read_ref(repository / "refs" / revision);
  if (commit.empty() && !id.revision.empty()) commit = id.revision;
  if (commit.empty()) {
    const std::vector<std::string> snapshots = snapshots_of(repository);
    if (snapshots.empty()) return std::nullopt;
    if (snapshots.size() > 1)
      throw InputError(repository.string() + " holds several snapshots and no refs/main; choose " +
                       "one: " + id.repository + "@" + snapshots.front());
    commit = snapshots.front();
  }
  const fs::path snapshot = repository / "snapshots" / commit;
  if (!is_folder(snapshot)) return std::nullopt;
  return snapshot.string();
}

std::vector<HubEntry> list_hub_cache(const std::string& cache) {
  std::vector<HubEntry> entries;
  std::error_code error;
  if (cache.empty() || !fs::exists(cache, error)) return entries;
  fs::directory_iterator at(cache, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error))
    if (at->path().filename().string().starts_with(kModelPrefix)) add_entries(*at, entries);
  if (error) entries.push_back({"", cache, "cannot list the cache: " + error.message()});
  std::sort(entries.begin(), entries.end(),
            [](const HubEntry& a, const HubEntry& b) { return a.name < b.name; });
  return entries;
}

}  // namespace krait
