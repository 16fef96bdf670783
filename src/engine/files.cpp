// From a model's name to everything known of it: checkpoint, config, tokenizer, special ids.
#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/base/json.h"
#include "src/engine/companions.h"
#include "src/engine/resolve.h"
#include "src/engine/tokenizer_files.h"
#include "src/formats/open.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// An id or a list of ids; null means none. Ids that the embedding does not have are refused.
std::vector<int32_t> read_ids(const json& value, const std::string& where, int64_t rows) {
  std::vector<int32_t> ids;
  for (const json& id : value.is_array() ? value : json::array({value})) {
    if (id.is_null()) continue;
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= rows)
      throw InputError(where + " is " + value.dump() + "; expected ids from 0 to " +
                       std::to_string(rows - 1));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void read_special(const json& config, const std::string& file, int64_t rows, SpecialIds& special) {
  if (!config.is_object()) throw InputError(file + ": expected a JSON object");
  if (const auto eos = config.find("eos_token_id"); eos != config.end())
    special.eos = read_ids(*eos, file + ": eos_token_id", rows);
  if (const auto bos = config.find("bos_token_id"); bos != config.end()) {
    const std::vector<int32_t> ids = read_ids(*bos, file + ": bos_token_id", rows);
    special.bos = ids.empty() ? -1 : ids.front();
  }
}

// The keys of a GGUF file. Both "end of text" and "end of turn" end an answer.
void read_gguf_special(const json& metadata, const std::string& file, int64_t rows,
                       SpecialIds& special) {
  const auto ids_of = [&](const char* key) {
    const auto id = metadata.find(key);
    return id == metadata.end() ? std::vector<int32_t>{} : read_ids(*id, file + ": " + key, rows);
  };
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    for (const int32_t id : ids_of(key))
      if (std::find(special.eos.begin(), special.eos.end(), id) == special.eos.end())
        special.eos.push_back(id);
  for (const int32_t id : ids_of("tokenizer.ggml.bos_token_id")) special.bos = id;
}

SpecialIds special_ids(const ModelFiles& files) {
  SpecialIds special;
  const int64_t rows = files.config.embedding_rows;
  const json& config = files.checkpoint->config();
  if (config.contains("general.architecture"))
    read_gguf_special(config, files.checkpoint->source(), rows, special);
  else
    read_special(config,
                 files.checkpoint->source() + ": " + std::string(files.checkpoint->config_name()),
                 rows, special);
  const fs::path generation = model_folder(files) / "generation_config.json";
  if (fs::exists(generation))  // written for generation: it wins
    read_special(read_json_file(generation.string()), generation.string(), rows, special);
  return special;
}

}  // namespace

ModelFiles open_model_files(const OpenOptions& options) {
  ModelFiles files;
  const ResolvedModel resolved = resolve_model(options.model);
  files.name = resolved.name;
  files.path = resolved.path;
  files.checkpoint = open_checkpoint(files.path);
  files.config = read_model_config(*files.checkpoint, options.warn);
  files.tokenizer = open_tokenizer(options, files);
  files.special = special_ids(files);
  if (files.tokenizer && files.tokenizer->vocab_size() > files.config.embedding_rows)
    throw InputError(files.path + ": the tokenizer has ids up to " +
                     std::to_string(files.tokenizer->vocab_size() - 1) +
                     ", but the embedding has only " + std::to_string(files.config.embedding_rows) +
                     " rows");
  return files;
}

}  // namespace krait
