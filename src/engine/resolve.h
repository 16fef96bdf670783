// From the name a user gives to the path of a model.
#pragma once

#include <string>
#include <vector>

namespace krait {

struct ResolvedModel {
  std::string name;  // as the user gave it; the bundled default's name if that was empty
  std::string path;  // an existing file or folder
};

// The first of:
//   a file or folder of that path;
//   a bundled model of that name (empty: the bundled default);
//   a model of that id ("owner/name" or "name", optionally "@revision") in the local Hugging Face
//   cache: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
//   ~/.cache/huggingface/hub. Nothing is downloaded.
// Throws InputError that lists what was tried and the bundled names.
ResolvedModel resolve_model(const std::string& name);

// The same with the folders whose sub-folders are the bundled models.
ResolvedModel resolve_model(const std::string& name,
                            const std::vector<std::string>& bundled_folders);

// Names of the bundled models, sorted: those beside the program (../share/krait/models) and those
// of the source tree it was built from.
std::vector<std::string> bundled_models();

// The folder of one of them.
std::string resolve_bundled_model(const std::string& name);

}  // namespace krait
