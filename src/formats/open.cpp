#include "src/formats/open.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/gguf.h"
#include "src/formats/safetensors.h"
#include "src/formats/safetensors_checkpoint.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeights = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::array<std::string_view, 3> kLaterKinds = {".bin", ".pt", ".pth"};

bool is_later_kind(const fs::path& file) {
  return std::find(kLaterKinds.begin(), kLaterKinds.end(), file.extension().string()) !=
         kLaterKinds.end();
}

[[noreturn]] void refuse_later_kind(const fs::path& file) {
  throw InputError(file.string() + ": " + file.extension().string() +
                   " files are not supported yet; expected .safetensors");
}

// What exists under that name; InputError when that cannot even be found out.
fs::file_type type_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::none)
    throw InputError("cannot open " + path.string() + ": " + error.message());
  return type;
}

bool is_there(const fs::path& path) {
  return type_of(path) != fs::file_type::not_found;
}

nlohmann::json read_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!is_there(path))
    throw InputError("there is no " + path.string() + "; it must lie beside the weights");
  nlohmann::json config = read_json_file(path.string());
  if (!config.is_object())
    throw InputError(path.string() + " holds " + config.type_name() + "; expected an object");
  return config;
}

// Says what a folder without safetensors weights does hold.
[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::vector<fs::path> later, gguf;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (is_later_kind(entry.path())) later.push_back(entry.path());
    if (entry.path().extension() == ".gguf") gguf.push_back(entry.path());
  }
  if (error) throw InputError("cannot list " + folder.string() + ": " + error.message());
  if (!later.empty()) refuse_later_kind(*std::min_element(later.begin(), later.end()));
  if (!gguf.empty())
    throw InputError("the folder " + folder.string() + " holds GGUF files; name the one to open, " +
                     std::min_element(gguf.begin(), gguf.end())->string());
  throw InputError("the folder " + folder.string() + " holds no weights: looked for " +
                   std::string(kWeights) + " and " + std::string(kIndex));
}

std::unique_ptr<Checkpoint> open_folder(const std::string& path) {
  const fs::path folder(path);
  if (is_there(folder / kWeights))
    return open_single_safetensors(path, (folder / kWeights).string(), read_config(folder));
  if (is_there(folder / kIndex))
    return open_sharded_safetensors(path, (folder / kIndex).string(), read_config(folder));
  refuse_folder(folder);
}

}  // namespace

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path) {
  const fs::path file(path);
  switch (type_of(file)) {
    case fs::file_type::not_found:
      throw InputError("there is no file or folder " + path);
    case fs::file_type::directory:
      return open_folder(path);
    default:
      break;
  }
  if (is_later_kind(file)) refuse_later_kind(file);
  if (file.extension() == ".gguf") return open_gguf(path);
  if (file.extension() != ".safetensors")
    throw InputError(path + ": not a kind of checkpoint that is known; expected a folder with " +
                     "config.json and weights, or a .safetensors or .gguf file");
  return open_single_safetensors(path, path, read_config(file.parent_path()));
}

}  // namespace krait
