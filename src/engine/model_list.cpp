#include "krait/model_list.h"

#include <algorithm>
#include <filesystem>

#include "krait/error.h"
#include "krait/model.h"
#include "src/engine/hub_cache.h"
#include "src/engine/resolve.h"
#include "src/formats/open.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

// Regular files below the folder, through the links that a snapshot is made of.
int64_t size_on_disk(const fs::path& folder) {
  int64_t bytes = 0;
  std::error_code error;
  auto at = fs::recursive_directory_iterator(folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code no_file;
    const auto size = fs::file_size(at->path(), no_file);
    if (!no_file) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

std::vector<ListedModel> found_models() {
  std::vector<ListedModel> models;
  const auto add = [&](ModelSource source, std::string name, std::string path,
                       std::string problem) {
    ListedModel& model = models.emplace_back();
    model.source = source;
    model.name = std::move(name);
    model.path = std::move(path);
    model.problem = std::move(problem);
  };
  for (const std::string& name : bundled_models())
    add(ModelSource::bundled, name, resolve_bundled_model(name), "");
  for (const HubEntry& entry : list_hub_cache(hub_cache_folder()))
    add(ModelSource::hub, entry.name, entry.path, entry.problem);
  return models;
}

void look_into(ListedModel& model) {
  try {
    const auto checkpoint = open_checkpoint(model.path);
    const ModelConfig config = read_model_config(*checkpoint, [](const std::string&) {});
    const StoredWeights weights = count_weights(*checkpoint);
    model.architecture = config.architecture;
    model.parameters = weights.parameters;
    model.dtype = weights.dtype;
    model.bytes_on_disk = size_on_disk(model.path);
  } catch (const InputError& e) {
    model.problem = e.what();
  } catch (const Failure& e) {
    model.problem = e.what();
  }
}

}  // namespace

StoredWeights count_weights(const Checkpoint& checkpoint) {
  StoredWeights stored;
  std::set<const std::byte*> seen;
  for (const std::string& name : checkpoint.names()) {
    stored.files.insert(checkpoint.file_of(name));
    try {
      const Tensor& tensor = *checkpoint.find(name);
      const auto bytes = static_cast<int64_t>(tensor.data.size());
      if (bytes == 0 || !seen.insert(tensor.data.data()).second) continue;
      stored.parameters += tensor.elements();
      stored.bytes += bytes;
      stored.bytes_by_dtype[std::string(dtype_name(tensor.dtype))] += bytes;
    } catch (const InputError& e) {
      if (stored.unread++ == 0) stored.why_unread = e.what();
    }
  }
  const auto most =
      std::max_element(stored.bytes_by_dtype.begin(), stored.bytes_by_dtype.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != stored.bytes_by_dtype.end()) stored.dtype = most->first;
  return stored;
}

std::vector<ListedModel> list_models() {
  std::vector<ListedModel> models = found_models();
  for (ListedModel& model : models)
    if (model.problem.empty()) look_into(model);
  return models;
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const ListedModel& model : found_models())
    if (model.problem.empty()) names.push_back(model.name);
  return names;
}

}  // namespace krait
