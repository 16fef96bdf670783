#include "src/engine/tokenizer_files.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "src/base/file.h"
#include "src/engine/hub_cache.h"
#include "src/formats/gguf.h"

namespace krait {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kByteRows = 256;
constexpr int64_t kGptNeoxTokens = 50277;
constexpr const char* kJson = "tokenizer.json";

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::unique_ptr<Tokenizer> from_gguf(const std::string& path) {
  auto tokenizer = load_tokenizer_gguf(open_gguf(path)->config(), path);
  if (!tokenizer) throw InputError(path + " holds no tokenizer; expected tokenizer.ggml.model");
  return tokenizer;
}

// By its name, or for other names by how it begins. Sentencepiece models begin with a line feed,
// which could be JSON's, too: what is nothing else is taken for one.
std::unique_ptr<Tokenizer> from_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(".json")) return load_tokenizer_json(path.string());
  if (name.ends_with(".gguf")) return from_gguf(path.string());
  if (name.find(".model") == std::string::npos && is_file(path)) {
    const std::string start = first_bytes(path.string(), 4);
    if (start == "GGUF") return from_gguf(path.string());
    if (start.starts_with('{')) return load_tokenizer_json(path.string());
  }
  return load_tokenizer_sentencepiece(path.string());
}

// "tokenizer.model", "tokenizer.model.v3", "mistral_instruct_tokenizer_240323.model.v3"
bool is_sentencepiece_name(const std::string& name) {
  const size_t model = name.find("tokenizer");
  return model != std::string::npos && name.find(".model", model) != std::string::npos;
}

// The tokenizer file of a folder, if there is one.
std::optional<fs::path> tokenizer_in(const fs::path& folder) {
  for (const char* name : {kJson, "tokenizer.model"})
    if (is_file(folder / name)) return folder / name;
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, error))
    if (is_sentencepiece_name(entry.path().filename().string()) && is_file(entry.path()))
      found.push_back(entry.path());
  if (found.empty()) return std::nullopt;
  std::sort(found.begin(), found.end());
  if (found.size() > 1)
    throw InputError("the folder " + folder.string() + " holds several tokenizers; choose one: " +
                     "--tokenizer " + found.front().string());
  return found.front();
}

std::unique_ptr<Tokenizer> asked_for(const std::string& name) {
  if (name == "bytes") return byte_tokenizer();
  std::error_code error;
  if (!fs::is_directory(name, error)) return from_file(name);
  const auto file = tokenizer_in(name);
  if (!file)
    throw InputError("the folder " + name + " holds no tokenizer; looked for tokenizer.json and " +
                     "tokenizer.model");
  return from_file(*file);
}

// mamba_ssm writes neither model_type nor a tokenizer: its models were trained with GPT-NeoX's.
bool wants_gpt_neox(const ModelFiles& files) {
  const nlohmann::json& config = files.checkpoint->config();
  return config.contains("d_model") && !config.contains("model_type") &&
         files.config.embedding_rows >= kGptNeoxTokens;
}

std::optional<fs::path> tokenizer_in_snapshot(const std::string& cache, const std::string& id) {
  try {
    const auto snapshot = find_hub_snapshot(cache, {id, ""});
    if (snapshot && is_file(fs::path(*snapshot) / kJson)) return fs::path(*snapshot) / kJson;
  } catch (const InputError&) {  // a cache in disorder is no reason to refuse the model
  }
  return std::nullopt;
}

// GPT-NeoX's tokenizer.json, of its own repository or of a conversion of one of Mamba's.
std::optional<fs::path> gpt_neox_in_cache() {
  const std::string cache = hub_cache_folder();
  if (cache.empty()) return std::nullopt;
  if (const auto own = tokenizer_in_snapshot(cache, "EleutherAI/gpt-neox-20b")) return own;
  constexpr std::string_view kOwner = "models--state-spaces--";
  std::vector<std::string> conversions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(std::string(kOwner) + "mamba-") && name.ends_with("-hf"))
      conversions.push_back("state-spaces/" + name.substr(kOwner.size()));
  }
  std::sort(conversions.begin(), conversions.end());
  for (const std::string& id : conversions)
    if (const auto file = tokenizer_in_snapshot(cache, id)) return file;
  return std::nullopt;
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const OpenOptions& options, const ModelFiles& files) {
  if (!options.tokenizer.empty()) return asked_for(options.tokenizer);
  if (auto embedded = load_tokenizer_gguf(files.checkpoint->config(), files.checkpoint->source()))
    return embedded;
  const fs::path path = files.path;
  if (const auto own = tokenizer_in(fs::is_directory(path) ? path : path.parent_path()))
    return from_file(*own);
  if (wants_gpt_neox(files))
    if (const auto file = gpt_neox_in_cache()) {
      options.warn("the model comes without a tokenizer; taking GPT-NeoX's, " + file->string());
      return from_file(*file);
    }
  return files.config.embedding_rows == kByteRows ? byte_tokenizer() : nullptr;
}

}  // namespace krait
