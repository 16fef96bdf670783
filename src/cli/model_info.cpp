#include "src/cli/model_info.h"

#include <cmath>
#include <string>

#include <fmt/format.h>

#include "krait/model_list.h"

namespace krait::cli {
namespace {

using Json = nlohmann::ordered_json;

// 1e-05, not the 9.999999747378752e-06 that the float is as a double.
double as_written(float value) { return std::stod(fmt::format("{}", value)); }

Json mixer_json(const Mamba1Config& c) {
  Json json = {{"mixer", "mamba1"},
               {"d_inner", c.d_inner},
               {"d_state", c.d_state},
               {"d_conv", c.d_conv},
               {"dt_rank", c.dt_rank}};
  if (c.dt_b_c_rms_eps) json["dt_b_c_rms_eps"] = as_written(*c.dt_b_c_rms_eps);
  return json;
}

Json mixer_json(const Mamba2Config& c) {
  Json json = {{"mixer", "mamba2"},
               {"d_inner", c.d_inner()},
               {"n_heads", c.n_heads},
               {"head_dim", c.head_dim},
               {"n_groups", c.n_groups},
               {"d_state", c.d_state},
               {"d_conv", c.d_conv},
               {"gated_norm", c.gated_norm},
               {"norm_before_gate", c.norm_before_gate},
               {"norm_eps", as_written(c.norm_eps)}};
  if (c.dt_min > 0) json["dt_min"] = as_written(c.dt_min);
  if (std::isfinite(c.dt_max)) json["dt_max"] = as_written(c.dt_max);
  return json;
}

Json mixer_json(const S4dConfig& c) {
  return {{"mixer", "s4d"}, {"d_inner", c.d_inner}, {"d_state", c.d_state}, {"d_conv", c.d_conv}};
}

Json layer_json(const LayerConfig& layer) {
  return std::visit([](const auto& c) { return mixer_json(c); }, layer);
}

Json tokenizer_json(const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return nullptr;
  return {{"kind", tokenizer->kind()}, {"vocab_size", tokenizer->vocab_size()}};
}

// {"id": 0, "text": "<|endoftext|>"}; null for no token.
Json token_json(const ModelFiles& files, int32_t id) {
  if (id < 0) return nullptr;
  Json json = {{"id", id}, {"text", nullptr}};
  if (files.tokenizer && !files.tokenizer->token_text(id).empty())
    json["text"] = files.tokenizer->token_text(id);
  return json;
}

Json special_json(const ModelFiles& files) {
  Json eos = Json::array();
  for (const int32_t id : files.special.eos) eos.push_back(token_json(files, id));
  const AuxiliaryIds others = auxiliary_ids(files);
  return {{"bos", token_json(files, files.special.bos)},
          {"eos", std::move(eos)},
          {"pad", token_json(files, others.pad)},
          {"unk", token_json(files, others.unk)}};
}

Json state_json(const StateLayout& layout) {
  Json bytes = Json::object();
  for (const StatePlane& plane : layout.planes()) {
    Json& sum = bytes[plane.name];
    sum = (sum.is_null() ? 0 : sum.get<int64_t>()) +
          plane.elements() * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

}  // namespace

Json model_info(const ModelFiles& files, const DeviceInfo& device, const Warn& warn) {
  const ModelConfig& config = files.config;
  const StoredWeights stored = count_weights(*files.checkpoint);
  if (stored.unread > 0)
    warn(
        fmt::format("{} tensors are not counted; the first: {}", stored.unread, stored.why_unread));
  const StateLayout state = state_layout(config);
  const std::optional<std::string> chat = chat_template(files);
  Json layers = Json::array();
  for (const LayerConfig& layer : config.layers) layers.push_back(layer_json(layer));
  return {{"model", files.name},
          {"path", files.path},
          {"container", files.checkpoint->container()},
          {"files", stored.files},
          {"architecture", config.architecture},
          {"parameters", stored.parameters},
          {"dtype", stored.dtype},
          {"weight_bytes", stored.bytes},
          {"bytes_by_dtype", stored.bytes_by_dtype},
          {"d_model", config.d_model},
          {"n_layer", config.layers.size()},
          {"vocab_size", config.vocab_size},
          {"embedding_rows", config.embedding_rows},
          {"norm_eps", as_written(config.norm_eps)},
          {"tied_head", config.tied_head},
          {"layers", std::move(layers)},
          {"state_bytes_per_sequence", state.bytes_per_slot()},
          {"state_bytes_by_plane", state_json(state)},
          {"tokenizer", tokenizer_json(files.tokenizer.get())},
          {"eos_ids", files.special.eos},
          {"bos_id", files.special.bos < 0 ? Json(nullptr) : Json(files.special.bos)},
          {"special_tokens", special_json(files)},
          {"chat_template", chat ? Json(*chat) : Json(nullptr)},
          {"machine",
           {{"device", device.name},
            {"detail", device.detail},
            {"isa", device.isa},
            {"threads", device.threads}}}};
}

}  // namespace krait::cli
