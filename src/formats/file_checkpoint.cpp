#include "src/formats/file_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "krait/error.h"
#include "src/base/json.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using WeightMap = std::map<std::string, std::string>;  // tensor -> file name

class FileCheckpoint final : public Checkpoint {
 public:
  FileCheckpoint(std::string source, ConfigFile config, std::vector<WeightsFile> files)
      : source_(std::move(source)), config_(std::move(config)), files_(std::move(files)) {
    for (const WeightsFile& file : files_)
      for (const WeightsEntry& entry : file.entries) tensors_.push_back({&entry, &file.file});
    std::sort(tensors_.begin(), tensors_.end(),
              [](const Located& a, const Located& b) { return a.entry->name < b.entry->name; });
    for (const Located& tensor : tensors_) names_.push_back(tensor.entry->name);
  }

  const std::string& source() const noexcept override { return source_; }
  std::string_view container() const noexcept override { return files_.front().container; }
  const json& config() const noexcept override { return config_.document; }
  std::string_view config_name() const noexcept override { return config_.name; }
  const std::vector<std::string>& names() const noexcept override { return names_; }

  const Tensor* find(std::string_view name) const override {
    const Located* found = locate(name);
    if (!found) return nullptr;
    if (!found->entry->unread_type.empty())
      throw InputError(found->file->path() + ": tensor " + quote(name) + " has type " +
                       std::string(found->entry->unread_type) + ", which krait does not read");
    return &found->entry->tensor;
  }

  const std::string& file_of(std::string_view name) const noexcept override {
    const Located* found = locate(name);
    KRAIT_CHECK(found);
    return found->file->path();
  }

  void release(const Tensor& tensor) const noexcept override {
    for (const WeightsFile& file : files_)
      if (file.file.contains(tensor.data.data())) file.file.release(tensor.data);
  }

  void check_unchanged() const override {
    for (const WeightsFile& file : files_) file.file.check_unchanged();
  }

 private:
  struct Located {
    const WeightsEntry* entry;
    const MappedFile* file;
  };

  const Located* locate(std::string_view name) const noexcept {
    const auto found = std::lower_bound(
        tensors_.begin(), tensors_.end(), name,
        [](const Located& tensor, std::string_view wanted) { return tensor.entry->name < wanted; });
    return found != tensors_.end() && found->entry->name == name ? &*found : nullptr;
  }

  std::string source_;
  ConfigFile config_;
  std::vector<WeightsFile> files_;  // one at least
  std::vector<Located> tensors_;    // by name, into files_
  std::vector<std::string> names_;
};

void check_file_name(const std::string& name, const std::string& index, const std::string& tensor) {
  const bool escapes = name.empty() || name == "." || name == ".." ||
                       name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos;
  if (escapes)
    throw InputError(index + ": weight_map sends tensor " + quote(tensor) + " to " + quote(name) +
                     "; expected the name of a file in the same folder");
}

WeightMap read_index(const std::string& index) {
  const json document = read_json_file(index);
  if (!document.is_object())
    throw InputError(index + " holds " + document.type_name() + "; expected an object");
  const auto map = document.find("weight_map");
  if (map == document.end()) throw InputError(index + " has no \"weight_map\"");
  if (!map->is_object())
    throw InputError(index + ": weight_map is " + map->type_name() + "; expected an object");
  if (map->empty()) throw InputError(index + ": weight_map is empty");
  WeightMap weights;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      throw InputError(index + ": weight_map sends tensor " + quote(tensor) + " to " +
                       file.type_name() + "; expected a file name");
    const std::string& name = file.get_ref<const std::string&>();
    check_file_name(name, index, tensor);
    weights.emplace(tensor, name);
  }
  return weights;
}

// Drops what the index does not map; a mapped tensor must lie in its own shard and no other.
void keep_mapped(std::vector<WeightsEntry>& entries, const WeightMap& weights,
                 const std::string& shard, const std::string& index) {
  std::erase_if(entries, [&](const WeightsEntry& entry) {
    const auto mapped = weights.find(entry.name);
    if (mapped == weights.end()) return true;
    if (mapped->second != shard)
      throw InputError(index + ": weight_map sends tensor " + quote(entry.name) + " to " +
                       quote(mapped->second) + ", but " + quote(shard) + " holds one too");
    return false;
  });
}

void check_complete(const std::vector<WeightsFile>& shards, const WeightMap& weights,
                    const std::string& index) {
  std::set<std::string_view> present;
  for (const WeightsFile& shard : shards)
    for (const WeightsEntry& entry : shard.entries) present.insert(entry.name);
  for (const auto& [tensor, file] : weights)
    if (!present.contains(tensor))
      throw InputError(index + ": weight_map sends tensor " + quote(tensor) + " to " + quote(file) +
                       ", which does not hold it");
}

}  // namespace

std::unique_ptr<Checkpoint> open_single_file(const std::string& source, const std::string& file,
                                             ConfigFile config, const WeightsReader& read) {
  std::vector<WeightsFile> files;
  files.push_back(read(file));
  return std::make_unique<FileCheckpoint>(source, std::move(config), std::move(files));
}

std::unique_ptr<Checkpoint> open_shards(const std::string& source, const std::string& index,
                                        ConfigFile config, const WeightsReader& read) {
  const WeightMap weights = read_index(index);
  std::map<std::string, std::string> shards;  // file name -> a tensor in it
  for (const auto& [tensor, file] : weights) shards.emplace(file, tensor);
  std::vector<WeightsFile> files;
  for (const auto& [name, tensor] : shards) {
    const fs::path path = fs::path(index).parent_path() / name;
    std::error_code ignored;  // whatever else is wrong, opening will say
    if (fs::status(path, ignored).type() == fs::file_type::not_found)
      throw InputError("there is no " + path.string() + ", the shard to which " + index +
                       " sends tensor " + quote(tensor));
    files.push_back(read(path.string()));
    keep_mapped(files.back().entries, weights, name, index);
  }
  check_complete(files, weights, index);
  return std::make_unique<FileCheckpoint>(source, std::move(config), std::move(files));
}

}  // namespace krait
