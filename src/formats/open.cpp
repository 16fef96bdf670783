#include "src/formats/open.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/container.h"
#include "src/formats/file_checkpoint.h"
#include "src/formats/gguf.h"
#include "src/formats/safetensors.h"
#include "src/formats/torch_file.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGgufExtension = ".gguf";

// What folders call their weights. Containers are told by content; by the name only where the
// content is damaged, for the message.
struct KnownFile {
  std::string_view name;
  Container container;
  bool is_index = false;
};

// In the order of preference.
constexpr std::array<KnownFile, 6> kKnownFiles = {{
    {"model.safetensors", Container::safetensors},
    {"model.safetensors.index.json", Container::safetensors, true},
    {"pytorch_model.bin", Container::torch},
    {"pytorch_model.bin.index.json", Container::torch, true},
    {"consolidated.safetensors", Container::safetensors},  // Mistral's, with params.json
    {"consolidated.safetensors.index.json", Container::safetensors, true},
}};

// In the order of preference.
constexpr std::array<std::string_view, 2> kConfigNames = {"config.json", "params.json"};

// What exists under that name; InputError when that cannot even be found out.
fs::file_type type_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::none)
    throw InputError("cannot open " + path.string() + ": " + error.message());
  return type;
}

bool is_there(const fs::path& path) { return type_of(path) != fs::file_type::not_found; }

std::optional<Container> container_of_name(const fs::path& path) {
  const std::string extension = path.extension().string();
  if (extension == kGgufExtension) return Container::gguf;
  if (extension == ".safetensors") return Container::safetensors;
  if (extension == ".bin" || extension == ".pt" || extension == ".pth") return Container::torch;
  return std::nullopt;
}

ConfigFile read_config(const fs::path& folder) {
  for (const std::string_view name : kConfigNames) {
    const fs::path path = folder / name;
    if (!is_there(path)) continue;
    ConfigFile config{std::string(name), read_json_file(path.string())};
    if (!config.document.is_object())
      throw InputError(path.string() + " holds " + config.document.type_name() +
                       "; expected an object");
    return config;
  }
  throw InputError("there is no " + (folder / kConfigNames[0]).string() + " and no " +
                   std::string(kConfigNames[1]) + "; one of them must lie beside the weights");
}

WeightsFile read_weights(const std::string& path, Container container) {
  switch (container) {
    case Container::safetensors: return read_safetensors(path);
    case Container::torch: return read_torch_file(path);
    case Container::gguf: break;
  }
  throw InputError(path + " is a GGUF file; expected safetensors or PyTorch weights");
}

// `container`: what the file is unless its content says otherwise.
std::unique_ptr<Checkpoint> open_weights(const std::string& source, const std::string& file,
                                         Container container) {
  container = container_of(file).value_or(container);
  if (container == Container::gguf) return open_gguf(file);
  return open_single_file(source, file, read_config(fs::path(file).parent_path()),
                          [=](const std::string& path) { return read_weights(path, container); });
}

std::vector<std::string> gguf_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == kGgufExtension)
      names.push_back(entry.path().filename().string());
  if (error) throw InputError("cannot list " + folder.string() + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

std::unique_ptr<Checkpoint> open_only_gguf(const fs::path& folder) {
  const std::vector<std::string> names = gguf_files(folder);
  if (names.size() == 1) return open_gguf((folder / names.front()).string());
  std::string list;
  const auto add = [&list](std::string_view name) {
    list += (list.empty() ? "" : ", ") + std::string(name);
  };
  if (!names.empty()) {
    for (const std::string& name : names) add(name);
    throw InputError("the folder " + folder.string() + " holds " + std::to_string(names.size()) +
                     " GGUF files; name the one to open: " + list);
  }
  for (const KnownFile& known : kKnownFiles) add(known.name);
  throw InputError("the folder " + folder.string() + " holds no weights: looked for " + list +
                   ", *" + std::string(kGgufExtension));
}

std::unique_ptr<Checkpoint> open_folder(const std::string& path) {
  const fs::path folder(path);
  for (const KnownFile& known : kKnownFiles) {
    const fs::path file = folder / known.name;
    if (!is_there(file)) continue;
    if (!known.is_index) return open_weights(path, file.string(), known.container);
    return open_shards(path, file.string(), read_config(folder), [&](const std::string& shard) {
      return read_weights(shard, container_of(shard).value_or(known.container));
    });
  }
  return open_only_gguf(folder);
}

}  // namespace

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path) {
  switch (type_of(path)) {
    case fs::file_type::not_found: throw InputError("there is no file or folder " + path);
    case fs::file_type::directory: return open_folder(path);
    default: break;
  }
  if (const std::optional<Container> container = container_of_name(path))
    return open_weights(path, path, *container);
  if (const std::optional<Container> container = container_of(path))
    return open_weights(path, path, *container);
  throw InputError(path + ": not a kind of checkpoint that is known: it begins with " +
                   beginning_of(path) + "; expected a folder with config.json and weights, or a " +
                   "file of safetensors, PyTorch or GGUF");
}

}  // namespace krait
