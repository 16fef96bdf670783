#include "tools/common/random_checkpoint.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "tools/common/safetensors_writer.h"

namespace krait {
namespace {

using Json = nlohmann::ordered_json;

// ---- random numbers ---------------------------------------------------------------------------
// Value i of tensor k is a function of (seed, k, i) alone.

// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
uint64_t mix(uint64_t x) noexcept {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

uint64_t bits_at(uint64_t key, int64_t index) noexcept {
  return mix(key + static_cast<uint64_t>(index + 1) * 0x9e3779b97f4a7c15u);
}

// [0, 1)
double uniform(uint64_t key, int64_t index) noexcept {
  return static_cast<double>(bits_at(key, index) >> 11) * 0x1p-53;
}

// Mean 0, variance 1: four uniform 16-bit numbers added, because it needs integers only and so is
// the same everywhere.
float normal(uint64_t key, int64_t index) noexcept {
  const uint64_t bits = bits_at(key, index);
  const int64_t sum = static_cast<int64_t>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                           (bits >> 32 & 0xffff) + (bits >> 48));
  constexpr float kScale = 1.7320508f / 65536;  // the variance of the sum is 4 / 12 * 65536^2
  return static_cast<float>(sum - 2 * 65535) * kScale;
}

// ---- tensors ----------------------------------------------------------------------------------

struct Dimensions {
  int64_t d_inner;
  int64_t dt_rank;
};

Dimensions dimensions(const RandomCheckpoint& c) {
  return {c.intermediate_size > 0 ? c.intermediate_size : c.expand * c.d_model,
          c.dt_rank > 0 ? c.dt_rank : (c.d_model + 15) / 16};
}

class Tensors {
 public:
  explicit Tensors(const RandomCheckpoint& c) : dtype_(c.dtype), key_(mix(c.seed)) {}

  // value(key, index) gives the elements.
  template <class Value>
  void add(std::string name, Shape shape, Value value) {
    NamedTensor tensor{std::move(name), dtype_, std::move(shape)};
    key_ = mix(key_ + 1);
    tensor.fill = [value, key = key_, dtype = dtype_](int64_t first_byte,
                                                      std::span<std::byte> out) {
      const int64_t size = dtype_info(dtype).block_bytes;
      const int64_t first = first_byte / size;
      const int64_t count = static_cast<int64_t>(out.size()) / size;
      for (int64_t i = 0; i < count; ++i) store_f32(value(key, first + i), dtype, out.data(), i);
    };
    list_.push_back(std::move(tensor));
  }

  void add_normal(std::string name, Shape shape, double deviation) {
    add(std::move(name), std::move(shape),
        [scale = static_cast<float>(deviation)](uint64_t key, int64_t i) {
          return scale * normal(key, i);
        });
  }

  // Uniform in [centre - reach, centre + reach).
  void add_uniform(std::string name, Shape shape, double centre, double reach) {
    add(std::move(name), std::move(shape), [=](uint64_t key, int64_t i) {
      return static_cast<float>(centre + reach * (2 * uniform(key, i) - 1));
    });
  }

  std::vector<NamedTensor> take() { return std::move(list_); }

 private:
  DType dtype_;
  uint64_t key_;
  std::vector<NamedTensor> list_;
};

// The bias whose softplus is a step size drawn log-uniformly from [1e-3, 1e-1], as Mamba is
// initialised. Rounded to a coarse grid, so that the last bit of a libm's log does not show.
float dt_bias(uint64_t key, int64_t index) {
  const double dt = 1e-3 * std::exp(uniform(key, index) * std::log(100.0));
  return static_cast<float>(std::round((dt + std::log(-std::expm1(-dt))) * 4096) / 4096);
}

void add_layer(const RandomCheckpoint& c, int64_t layer, Tensors& tensors) {
  const auto [d_inner, dt_rank] = dimensions(c);
  const int64_t n = c.d_state;
  const auto per_input = [](int64_t inputs) { return 1 / std::sqrt(static_cast<double>(inputs)); };
  const std::string base = "backbone.layers." + std::to_string(layer) + ".";
  const std::string mixer = base + "mixer.";

  tensors.add_uniform(base + "norm.weight", {c.d_model}, 1, 0.1);
  tensors.add_normal(mixer + "in_proj.weight", {2 * d_inner, c.d_model}, per_input(c.d_model));
  if (c.use_bias) tensors.add_normal(mixer + "in_proj.bias", {2 * d_inner}, 0.1);
  tensors.add_normal(mixer + "conv1d.weight", {d_inner, 1, c.d_conv}, per_input(c.d_conv));
  if (c.conv_bias) tensors.add_normal(mixer + "conv1d.bias", {d_inner}, 0.1);
  tensors.add_normal(mixer + "x_proj.weight", {dt_rank + 2 * n, d_inner}, per_input(d_inner));
  tensors.add_uniform(mixer + "dt_proj.weight", {d_inner, dt_rank}, 0, per_input(dt_rank));
  tensors.add(mixer + "dt_proj.bias", {d_inner}, dt_bias);
  tensors.add(mixer + "A_log", {d_inner, n}, [n](uint64_t, int64_t i) {
    return static_cast<float>(std::log(static_cast<double>(i % n + 1)));
  });
  tensors.add(mixer + "D", {d_inner}, [](uint64_t, int64_t) { return 1.0f; });
  tensors.add_normal(mixer + "out_proj.weight", {c.d_model, d_inner}, per_input(d_inner));
  if (c.use_bias) tensors.add_normal(mixer + "out_proj.bias", {c.d_model}, 0.1);
}

std::vector<NamedTensor> all_tensors(const RandomCheckpoint& c) {
  // Logits of deviation 2, whatever d_model: the head multiplies a vector of d_model unit values.
  const double head = 2 / std::sqrt(static_cast<double>(c.d_model));
  Tensors tensors(c);
  tensors.add_normal("backbone.embeddings.weight", {c.vocab_rows, c.d_model}, c.tied ? head : 0.5);
  for (int64_t layer = 0; layer < c.n_layer; ++layer) add_layer(c, layer, tensors);
  tensors.add_uniform("backbone.norm_f.weight", {c.d_model}, 1, 0.1);
  if (!c.tied) tensors.add_normal("lm_head.weight", {c.vocab_rows, c.d_model}, head);
  return tensors.take();
}

// ---- the other files --------------------------------------------------------------------------

void write_json(const std::string& path, const Json& json) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) throw Failure(path + ": cannot write");
}

Json config(const RandomCheckpoint& c) {
  const char* type = c.dtype == DType::f32   ? "float32"
                     : c.dtype == DType::f16 ? "float16"
                                             : "bfloat16";
  Json json = {{"architectures", {"MambaForCausalLM"}},
               {"bos_token_id", 0},
               {"conv_kernel", c.d_conv},
               {"eos_token_id", 0},
               {"expand", c.expand},
               {"hidden_act", "silu"},
               {"hidden_size", c.d_model},
               {"initializer_range", 0.1},
               {"intermediate_size", dimensions(c).d_inner},
               {"layer_norm_epsilon", 1e-5},
               {"model_type", "mamba"},
               {"num_hidden_layers", c.n_layer},
               {"pad_token_id", 0},
               {"rescale_prenorm_residual", false},
               {"residual_in_fp32", true},
               {"state_size", c.d_state},
               {"tie_word_embeddings", c.tied},
               {"time_step_floor", 1e-4},
               {"time_step_init_scheme", "random"},
               {"time_step_max", 0.1},
               {"time_step_min", 0.001},
               {"time_step_rank", c.dt_rank},
               {"time_step_scale", 1.0},
               {"torch_dtype", type},
               {"use_bias", c.use_bias},
               {"use_cache", true},
               {"use_conv_bias", c.conv_bias},
               {"vocab_size", c.vocab_size > 0 ? c.vocab_size : c.vocab_rows}};
  if (c.dt_rank == 0) json["time_step_rank"] = "auto";
  return json;
}

std::string utf8(uint32_t code_point) {  // below U+0800
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3f))};
}

// GPT-2's printable character for every byte, in byte order.
std::vector<std::string> byte_alphabet() {
  std::vector<std::string> symbols;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    symbols.push_back(utf8(printable ? byte : next++));
  }
  return symbols;
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 32> kMerges = {{
    {"Ġ", "t"},   {"h", "e"},   {"Ġ", "a"},   {"i", "n"},  {"Ġt", "he"}, {"Ġ", "w"}, {"o", "u"},
    {"r", "e"},   {"n", "d"},   {"Ġ", "s"},   {"h", "a"},  {"e", "r"},   {"Ġ", "h"}, {"Ġ", "o"},
    {"Ġa", "nd"}, {"Ġ", "b"},   {"Ġt", "o"},  {"i", "t"},  {"in", "g"},  {"e", "d"}, {"l", "l"},
    {"Ġo", "f"},  {"Ġ", "m"},   {"o", "n"},   {"Ġ", "f"},  {"e", "n"},   {"i", "s"}, {"Ġh", "e"},
    {"a", "s"},   {"Ġw", "as"}, {"Ġs", "he"}, {"t", "he"},
}};

Json tokenizer(int64_t vocab_size) {
  int32_t id = 0;
  Json vocab = Json::object();
  vocab["<|endoftext|>"] = id++;
  for (const std::string& symbol : byte_alphabet()) vocab[symbol] = id++;
  Json merges = Json::array();
  for (const auto& [left, right] : kMerges) {
    if (id >= vocab_size) break;
    merges.push_back(std::string(left) + " " + std::string(right));
    vocab[std::string(left) + std::string(right)] = id++;
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json end_of_text = {
      {"id", 0},         {"content", "<|endoftext|>"}, {"single_word", false}, {"lstrip", false},
      {"rstrip", false}, {"normalized", false},        {"special", true}};
  const Json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"vocab", vocab},
                      {"merges", merges}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array({end_of_text})},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", byte_level},
          {"post_processor", byte_level},
          {"decoder", byte_level},
          {"model", model}};
}

void write_shards(const std::string& folder, std::vector<NamedTensor> tensors, int64_t shards) {
  Json weight_map = Json::object();
  int64_t total = 0;
  const int64_t count = static_cast<int64_t>(tensors.size());
  for (int64_t shard = 0; shard < shards; ++shard) {
    std::array<char, 64> name;
    std::snprintf(name.data(), name.size(), "model-%05d-of-%05d.safetensors",
                  static_cast<int>(shard + 1), static_cast<int>(shards));
    std::vector<NamedTensor> part;
    for (int64_t i = shard * count / shards; i < (shard + 1) * count / shards; ++i) {
      NamedTensor& tensor = tensors[static_cast<size_t>(i)];
      total += element_count(tensor.shape) * dtype_info(tensor.dtype).block_bytes;
      weight_map[tensor.name] = name.data();
      part.push_back(std::move(tensor));
    }
    write_safetensors(folder + "/" + name.data(), part);
  }
  write_json(folder + "/model.safetensors.index.json",
             {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}});
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
  at_least("d_inner", dimensions(c).d_inner, 1);
  at_least("dt_rank", c.dt_rank, 0);
  at_least("vocab_size", c.vocab_size, 0);
  at_least("vocab_rows", c.vocab_rows, std::max<int64_t>(c.vocab_size, 1));
  at_least("shards", c.shards, 1);
  if (c.dtype != DType::f32 && c.dtype != DType::f16 && c.dtype != DType::bf16)
    throw InputError("dtype is " + std::string(dtype_name(c.dtype)) +
                     "; expected f32, f16 or bf16");
}

}  // namespace

void write_random_checkpoint(const std::string& folder, const RandomCheckpoint& c) {
  check(c);
  std::vector<NamedTensor> tensors = all_tensors(c);
  if (c.shards > static_cast<int64_t>(tensors.size()))
    throw InputError("shards is " + std::to_string(c.shards) + "; expected at most " +
                     std::to_string(tensors.size()) + ", the number of tensors");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Failure(folder + ": cannot make the folder: " + error.message());

  write_json(folder + "/config.json", config(c));
  write_json(folder + "/generation_config.json",
             {{"bos_token_id", 0}, {"eos_token_id", 0}, {"pad_token_id", 0}});
  constexpr int64_t kSmallestVocabulary = 257;
  const int64_t vocab_size = c.vocab_size > 0 ? c.vocab_size : c.vocab_rows;
  if (vocab_size >= kSmallestVocabulary)
    write_json(folder + "/tokenizer.json", tokenizer(vocab_size));
  if (c.shards > 1) {
    write_shards(folder, std::move(tensors), c.shards);
  } else {
    write_safetensors(folder + "/model.safetensors", tensors);
  }
}

}  // namespace krait
