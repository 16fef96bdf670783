// The folder in which the Hugging Face libraries keep what they downloaded:
// models--owner--name/refs/<revision> holds a commit, snapshots/<commit> the files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

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

}  // namespace krait
