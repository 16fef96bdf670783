#include "tools/common/random_checkpoint.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tools/common/random_config.h"
#include "tools/common/random_tensors.h"
#include "tools/common/safetensors_writer.h"

namespace krait {
namespace {

using Json = nlohmann::ordered_json;

SafetensorsData data_of(const RandomCheckpoint& c) {
  return c.header_only ? SafetensorsData::hole : SafetensorsData::written;
}

void write_json(const std::string& path, const Json& json) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) throw Failure(path + ": cannot write");
}

// "model-00002-of-00003.safetensors"
std::string shard_name(const std::string& stem, int64_t shard, int64_t shards) {
  std::array<char, 32> numbers;
  std::snprintf(numbers.data(), numbers.size(), "-%05d-of-%05d", static_cast<int>(shard + 1),
                static_cast<int>(shards));
  return stem + numbers.data() + ".safetensors";
}

void write_shards(const std::string& folder, const std::string& stem, const RandomCheckpoint& c,
                  std::vector<NamedTensor> tensors) {
  Json weight_map = Json::object();
  int64_t total = 0;
  const int64_t count = static_cast<int64_t>(tensors.size());
  for (int64_t shard = 0; shard < c.shards; ++shard) {
    const std::string name = shard_name(stem, shard, c.shards);
    std::vector<NamedTensor> part;
    for (int64_t i = shard * count / c.shards; i < (shard + 1) * count / c.shards; ++i) {
      NamedTensor& tensor = tensors[static_cast<size_t>(i)];
      total += element_count(tensor.shape) * dtype_info(tensor.dtype).block_bytes;
      weight_map[tensor.name] = name;
      part.push_back(std::move(tensor));
    }
    write_safetensors(folder + "/" + name, part, data_of(c));
  }
  write_json(folder + "/" + stem + ".safetensors.index.json",
             {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}});
}

void check_mamba2(const RandomCheckpoint& c) {
  const auto divides = [](const char* name, int64_t value, const char* whole, int64_t of) {
    if (value < 1 || of % value != 0)
      throw InputError(std::string(name) + " is " + std::to_string(value) +
                       "; expected a divisor of " + whole + ", " + std::to_string(of));
  };
  divides("head_dim", c.head_dim, "d_inner", c.d_inner());
  divides("n_groups", c.n_groups, "the number of heads", c.n_heads());
}

void check(const RandomCheckpoint& c) {
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least)
      throw InputError(std::string(name) + " is " + std::to_string(value) + "; expected at least " +
                       std::to_string(least));
  };
  at_least("d_model", c.d_model, 1);
  at_least("n_layer", c.n_layer, 1);
  at_least("d_state", c.d_state, 1);
  at_least("d_conv", c.d_conv, 1);
  at_least("d_inner", c.d_inner(), 1);
  at_least("dt_rank", c.dt_rank, 0);
  at_least("vocab_size", c.vocab_size, 0);
  at_least("vocab_rows", c.vocab_rows, std::max<int64_t>(c.vocab_size, 1));
  at_least("shards", c.shards, 1);
  if (c.dtype != DType::f32 && c.dtype != DType::f16 && c.dtype != DType::bf16)
    throw InputError("dtype is " + std::string(dtype_name(c.dtype)) +
                     "; expected f32, f16 or bf16");
  if (c.architecture == RandomArchitecture::mamba2) check_mamba2(c);
  if (c.layout == RandomLayout::mistral && c.architecture != RandomArchitecture::mamba2)
    throw InputError("Mistral's layout is one of Mamba-2 only");
  if (c.layout == RandomLayout::mamba_ssm && c.architecture == RandomArchitecture::falcon_mamba)
    throw InputError("mamba_ssm has no Falcon-Mamba");
}

}  // namespace

void write_random_checkpoint(const std::string& folder, const RandomCheckpoint& c) {
  check(c);
  std::vector<NamedTensor> tensors = random_tensors(c);
  if (c.shards > static_cast<int64_t>(tensors.size()))
    throw InputError("shards is " + std::to_string(c.shards) + "; expected at most " +
                     std::to_string(tensors.size()) + ", the number of tensors");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Failure(folder + ": cannot make the folder: " + error.message());

  const bool mistral = c.layout == RandomLayout::mistral;
  write_json(folder + (mistral ? "/params.json" : "/config.json"), random_config(c));
  write_json(folder + "/generation_config.json",
             {{"bos_token_id", 0}, {"eos_token_id", 0}, {"pad_token_id", 0}});
  constexpr int64_t kSmallestVocabulary = 257;
  if (c.said_vocab_size() >= kSmallestVocabulary)
    write_json(folder + "/tokenizer.json", random_tokenizer(c.said_vocab_size()));
  const std::string stem = mistral ? "consolidated" : "model";
  if (c.shards > 1) {
    write_shards(folder, stem, c, std::move(tensors));
  } else {
    write_safetensors(folder + "/" + stem + ".safetensors", tensors, data_of(c));
  }
}

}  // namespace krait
