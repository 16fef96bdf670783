#include "tools/common/random_config.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace krait {
namespace {

using Json = nlohmann::ordered_json;

std::pair<const char*, const char*> hugging_face_names(RandomArchitecture architecture) {
  switch (architecture) {
    case RandomArchitecture::falcon_mamba: return {"falcon_mamba", "FalconMambaForCausalLM"};
    case RandomArchitecture::mamba2: return {"mamba2", "Mamba2ForCausalLM"};
    case RandomArchitecture::mamba: break;
  }
  return {"mamba", "MambaForCausalLM"};
}

Json hugging_face_config(const RandomCheckpoint& c) {
  const char* type = c.dtype == DType::f32   ? "float32"
                     : c.dtype == DType::f16 ? "float16"
                                             : "bfloat16";
  const auto [model_type, class_name] = hugging_face_names(c.architecture);
  Json json = {{"architectures", {class_name}},
               {"bos_token_id", 0},
               {"conv_kernel", c.d_conv},
               {"eos_token_id", 0},
               {"expand", c.expand},
               {"hidden_act", "silu"},
               {"hidden_size", c.d_model},
               {"initializer_range", 0.1},
               {"intermediate_size", c.d_inner()},
               {"layer_norm_epsilon", 1e-5},
               {"model_type", model_type},
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
               {"vocab_size", c.said_vocab_size()}};
  if (c.dt_rank == 0) json["time_step_rank"] = "auto";
  if (c.architecture == RandomArchitecture::falcon_mamba) json["mixer_rms_eps"] = 1e-6;
  if (c.architecture == RandomArchitecture::mamba2) {
    json.erase("intermediate_size");
    json.update({{"chunk_size", 256},
                 {"head_dim", c.head_dim},
                 {"n_groups", c.n_groups},
                 {"norm_before_gate", true},  // which transformers writes and ignores
                 {"num_heads", c.n_heads()},
                 {"rms_norm", true},
                 {"time_step_limit", {0.0, {{"__float__", "Infinity"}}}}});
  }
  return json;
}

// The multiple to which mamba_ssm pads the vocabulary it says, giving the rows it stores.
int64_t padding_multiple(const RandomCheckpoint& c) {
  for (const int64_t multiple : {1, 8, 16})
    if ((c.said_vocab_size() + multiple - 1) / multiple * multiple == c.vocab_rows) return multiple;
  return c.vocab_rows;
}

// Published files leave out what is the default of the mixer's constructor.
Json mixer_arguments(const RandomCheckpoint& c) {
  const bool mamba2 = c.architecture == RandomArchitecture::mamba2;
  Json json = Json::object();
  if (mamba2) json["layer"] = "Mamba2";
  if (c.d_state != (mamba2 ? 128 : 16)) json["d_state"] = c.d_state;
  if (c.d_conv != 4) json["d_conv"] = c.d_conv;
  if (c.expand != 2) json["expand"] = c.expand;
  if (!mamba2 && c.dt_rank != 0) json["dt_rank"] = c.dt_rank;
  if (mamba2 && c.head_dim != 64) json["headdim"] = c.head_dim;
  if (mamba2 && c.n_groups != 1) json["ngroups"] = c.n_groups;
  return json;
}

Json mamba_ssm_config(const RandomCheckpoint& c) {
  return {{"d_model", c.d_model},
          {"d_intermediate", 0},
          {"n_layer", c.n_layer},
          {"vocab_size", c.said_vocab_size()},
          {"ssm_cfg", mixer_arguments(c)},
          {"attn_layer_idx", Json::array()},
          {"attn_cfg", Json::object()},
          {"rms_norm", true},
          {"residual_in_fp32", true},
          {"fused_add_norm", true},
          {"pad_vocab_size_multiple", padding_multiple(c)},
          {"tie_embeddings", c.tied}};
}

Json mistral_config(const RandomCheckpoint& c) {
  return {{"dim", c.d_model},
          {"n_layers", c.n_layer},
          {"vocab_size", c.said_vocab_size()},
          {"n_groups", c.n_groups},
          {"rms_norm", true},
          {"residual_in_fp32", true},
          {"fused_add_norm", true},
          {"pad_vocab_size_multiple", padding_multiple(c)},
          {"tie_embeddings", c.tied},
          {"model_type", "mamba"}};
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

}  // namespace

Json random_config(const RandomCheckpoint& c) {
  switch (c.layout) {
    case RandomLayout::mamba_ssm: return mamba_ssm_config(c);
    case RandomLayout::mistral: return mistral_config(c);
    case RandomLayout::hugging_face: break;
  }
  return hugging_face_config(c);
}

Json random_tokenizer(int64_t vocab_size) {
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

}  // namespace krait
