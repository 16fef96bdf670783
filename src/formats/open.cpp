#include "src/formats/open.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/file_checkpoint.h"
#include "src/formats/gguf.h"
#include "src/formats/safetensors.h"
#include "src/formats/torch_file.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

// A format, what folders call its weights, single or by their index, and how its files end.
struct Kind {
  WeightsFormat format;
  std::string_view weights;
  std::string_view index;
  std::vector<std::string_view> extensions;
};

constexpr std::string_view kGguf = ".gguf";

// In the order of preference.
const std::array<Kind, 2> kKinds = {{
    {{"safetensors", read_safetensors},
     "model.safetensors",
     "model.safetensors.index.json",
     {".safetensors"}},
    {{"PyTorch", read_torch_file},
     "pytorch_model.bin",
     "pytorch_model.bin.index.json",
     {".bin", ".pt", ".pth"}},
}};

// What exists under that name; InputError when that cannot even be found out.
fs::file_type type_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::none)
    throw InputError("cannot open " + path.string() + ": " + error.message());
  return type;
}

bool is_there(const fs::path& path) { return type_of(path) != fs::file_type::not_found; }

nlohmann::json read_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!is_there(path))
    throw InputError("there is no " + path.string() + "; it must lie beside the weights");
  nlohmann::json config = read_json_file(path.string());
  if (!config.is_object())
    throw InputError(path.string() + " holds " + config.type_name() + "; expected an object");
  return config;
}

// Says what a folder without weights under a known name does hold.
[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::vector<fs::path> gguf;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == kGguf) gguf.push_back(entry.path());
  if (error) throw InputError("cannot list " + folder.string() + ": " + error.message());
  if (!gguf.empty())
    throw InputError("the folder " + folder.string() + " holds GGUF files; name the one to open, " +
                     std::min_element(gguf.begin(), gguf.end())->string());
  std::string names;
  for (const Kind& kind : kKinds)
    names +=
        (names.empty() ? "" : ", ") + std::string(kind.weights) + ", " + std::string(kind.index);
  throw InputError("the folder " + folder.string() + " holds no weights: looked for " + names);
}

std::unique_ptr<Checkpoint> open_folder(const std::string& path) {
  const fs::path folder(path);
  for (const Kind& kind : kKinds) {
    const fs::path weights = folder / kind.weights, index = folder / kind.index;
    if (is_there(weights))
      return open_single_file(path, weights.string(), read_config(folder), kind.format);
    if (is_there(index)) return open_shards(path, index.string(), read_config(folder), kind.format);
  }
  refuse_folder(folder);
}

}  // namespace

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path) {
  const fs::path file(path);
  switch (type_of(file)) {
    case fs::file_type::not_found: throw InputError("there is no file or folder " + path);
    case fs::file_type::directory: return open_folder(path);
    default: break;
  }
  const std::string extension = file.extension().string();
  if (extension == kGguf) return open_gguf(path);
  for (const Kind& kind : kKinds)
    if (std::find(kind.extensions.begin(), kind.extensions.end(), extension) !=
        kind.extensions.end())
      return open_single_file(path, path, read_config(file.parent_path()), kind.format);
  throw InputError(path + ": not a kind of checkpoint that is known; expected a folder with " +
                   "config.json and weights, or a .safetensors, .bin, .pt, .pth or .gguf file");
}

}  // namespace krait
