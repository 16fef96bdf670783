// The folder in which the Hugging Face libraries keep what they downloaded:
// models--owner--name/refs/<revision> holds a commit, snapshots/<commit> the files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace krait {

struct HubId {
  std::string repository;  // "owner/name" or "name"
  std::string revision;    // a branch, tag or commit; empty: "main"
};

// nullopt for text that is no id. Ids and revisions that pass cannot lead out of the cache folder.
std::optional<HubId> parse_hub_id(std::string_view text);

// The cache folder by the environment; empty when not even HOME is set.
std::string hub_cache_folder();

// Folder of the repository inside the cache, whether it exists or not.
std::string hub_repository_folder(const std::string& cache, const HubId& id);

// The snapshot folder, or nullopt when the cache does not hold it. Throws InputError where the
// choice is not clear (no main, several snapshots).
std::optional<std::string> find_hub_snapshot(const std::string& cache, const HubId& id);

// A model's repository in the cache or, where it has several snapshots and no main, one of them.
struct HubEntry {
  std::string name;     // as -m takes it: "owner/name", "owner/name@commit"
  std::string path;     // the snapshot; of a broken entry its folder
  std::string problem;  // not empty: why there is no snapshot
};

// All of them, by name. An empty list where there is no cache; where it cannot be read, one entry
// that says so.
std::vector<HubEntry> list_hub_cache(const std::string& cache);

}  // namespace krait
