// config.json and the tensors' shapes -> ModelConfig and its layer list. Shapes decide: a number of
// config.json that they contradict is reported, and refused where it leaves a doubt.
#include <cmath>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "krait/model.h"
#include "models/config_gguf.h"
#include "models/config_values.h"
#include "models/mamba1.h"
#include "models/mamba2.h"
#include "models/s4d.h"
#include "models/weight_names.h"

namespace krait {
namespace {

using nlohmann::json;

// How a family of config.json files spells its keys; nullptr for what it does not say.
struct Dialect {
  const char* d_model;
  const char* n_layer;
  const char* norm_eps = nullptr;
  const char* tied;
  const char* vocab_multiple = nullptr;
  const char* mixer = nullptr;  // the object that holds the mixer's keys; nullptr: the document
  const char* d_inner = nullptr;
  const char* d_state = nullptr;
  const char* d_conv = nullptr;
  const char* dt_rank = nullptr;
  const char* n_heads = nullptr;
  const char* head_dim = nullptr;
  const char* n_groups;
  const char* bias = nullptr;
  const char* conv_bias = nullptr;
  const char* dt_limit = nullptr;
  const char* gated_norm = nullptr;
  const char* norm_before_gate = nullptr;
  int64_t n_groups_default;
};

// transformers. It ignores norm_before_gate, which published files carry with either value.
constexpr Dialect kHuggingFace = {.d_model = "hidden_size",
                                  .n_layer = "num_hidden_layers",
                                  .norm_eps = "layer_norm_epsilon",
                                  .tied = "tie_word_embeddings",
                                  .d_inner = "intermediate_size",
                                  .d_state = "state_size",
                                  .d_conv = "conv_kernel",
                                  .dt_rank = "time_step_rank",
                                  .n_heads = "num_heads",
                                  .head_dim = "head_dim",
                                  .n_groups = "n_groups",
                                  .bias = "use_bias",
                                  .conv_bias = "use_conv_bias",
                                  .dt_limit = "time_step_limit",
                                  .gated_norm = "rms_norm",
                                  .n_groups_default = 8};

// mamba_ssm: MambaConfig, with the arguments of the mixer's constructor in ssm_cfg.
constexpr Dialect kMambaSsm = {.d_model = "d_model",
                               .n_layer = "n_layer",
                               .tied = "tie_embeddings",
                               .vocab_multiple = "pad_vocab_size_multiple",
                               .mixer = "ssm_cfg",
                               .d_state = "d_state",
                               .d_conv = "d_conv",
                               .dt_rank = "dt_rank",
                               .head_dim = "headdim",
                               .n_groups = "ngroups",
                               .bias = "bias",
                               .conv_bias = "conv_bias",
                               .dt_limit = "dt_limit",
                               .gated_norm = "rmsnorm",
                               .norm_before_gate = "norm_before_gate",
                               .n_groups_default = 1};

// Mistral's layout of Mamba-Codestral: a Mamba-2 of mamba_ssm with few keys.
constexpr Dialect kMistral = {.d_model = "dim",
                              .n_layer = "n_layers",
                              .tied = "tie_embeddings",
                              .vocab_multiple = "pad_vocab_size_multiple",
                              .n_groups = "n_groups",
                              .n_groups_default = 1};

class ConfigReader {
 public:
  ConfigReader(const Checkpoint& checkpoint, const Warn& warn)
      : weights_(checkpoint),
        source_(checkpoint.source() + ": " + std::string(checkpoint.config_name())),
        config_(checkpoint.config(), source_, warn),
        keys_(dialect()),
        mixer_(mixer_object(checkpoint.config()), source_ + mixer_path(), warn) {}

  ModelConfig read() {
    ModelConfig out;
    out.architecture = architecture();
    const Tensor& embedding = weights_.require("embedding.weight", {-1, -1});
    out.embedding_rows = embedding.shape[0];
    out.d_model = embedding.shape[1];
    if (out.embedding_rows < 1 || out.d_model < 1)
      config_.fail("the embedding has shape " + to_string(embedding.shape));
    if (out.embedding_rows > std::numeric_limits<int32_t>::max())
      config_.fail("the embedding has more rows than an id can name");
    config_.agree(keys_.d_model, out.d_model);
    out.vocab_size = vocab_size(out.embedding_rows);
    out.norm_eps = config_.epsilon(keys_.norm_eps, 1e-5f);
    // A tied head may be stored a second time, as another name of the same bytes.
    const Tensor* head = weights_.find("lm_head.weight");
    out.tied_head = !head || head->data.data() == embedding.data.data();
    if (!head && !config_.flag(keys_.tied).value_or(true))
      config_.fail(std::string(keys_.tied) + " is false, but there is no tensor lm_head.weight");
    const int64_t layers = layer_count();
    for (int64_t layer = 0; layer < layers; ++layer) {
      if (out.architecture == "mamba2")
        out.layers.emplace_back(mamba2(layer, out.d_model, out.norm_eps));
      else if (out.architecture == "s4d")
        out.layers.emplace_back(s4d(layer, out.d_model));
      else
        out.layers.emplace_back(mamba1(layer, out.d_model, out.architecture == "falcon_mamba"));
    }
    return out;
  }

 private:
  // By the keys that only one family has. Converted Hugging Face files carry leftovers of others.
  const Dialect& dialect() const {
    if (config_.value("dim")) return kMistral;
    if (config_.value("model_type") || config_.value("architectures")) return kHuggingFace;
    return config_.value("d_model") || config_.value("ssm_cfg") ? kMambaSsm : kHuggingFace;
  }

  const json& mixer_object(const json& document) const {
    static const json kNothing = json::object();
    if (!keys_.mixer) return document;
    const json* object = config_.value(keys_.mixer);
    return object ? *object : kNothing;
  }
  std::string mixer_path() const { return keys_.mixer ? std::string(" ") + keys_.mixer : ""; }

  std::string architecture() const {
    if (&keys_ == &kHuggingFace) return hugging_face_architecture();
    if (config_.flag("rms_norm") == false)
      config_.fail("rms_norm is false: LayerNorm is not supported; expected true");
    if (&keys_ == &kMistral) return "mamba2";
    if (const json* attention = config_.value("attn_layer_idx");
        attention && *attention != json::array())
      config_.fail("attn_layer_idx is " + attention->dump() +
                   ": attention layers are not supported; expected []");
    if (config_.integer("d_intermediate").value_or(0) != 0)
      config_.fail("d_intermediate is " + config_.value("d_intermediate")->dump() +
                   ": MLP layers are not supported; expected 0");
    const json* layer = mixer_.value("layer");
    if (!layer || *layer == "Mamba1") return "mamba";
    if (*layer == "Mamba2") return "mamba2";
    mixer_.fail("layer is " + layer->dump() + "; expected \"Mamba1\" or \"Mamba2\"");
  }

  std::string hugging_face_architecture() const {
    if (const json* act = config_.value("hidden_act"); act && *act != "silu" && *act != "swish")
      config_.fail("hidden_act is " + act->dump() + "; expected \"silu\"");
    const json* type = config_.value("model_type");
    const json* classes = config_.value("architectures");
    if (!type && !classes) return "mamba";
    for (const auto& [name, class_name] :
         {std::pair("mamba", "MambaForCausalLM"),
          std::pair("falcon_mamba", "FalconMambaForCausalLM"),
          std::pair("mamba2", "Mamba2ForCausalLM"), std::pair("s4d", "S4DForCausalLM")})
      if (type ? *type == name : *classes == json::array({class_name})) return name;
    if (type)
      config_.fail("model_type is " + type->dump() +
                   "; expected \"mamba\", \"falcon_mamba\", \"mamba2\" or \"s4d\"");
    config_.fail("architectures is " + classes->dump() +
                 "; expected [\"MambaForCausalLM\"], [\"FalconMambaForCausalLM\"], "
                 "[\"Mamba2ForCausalLM\"] or [\"S4DForCausalLM\"]");
  }

  int64_t vocab_size(int64_t rows) const {
    const int64_t said = config_.integer("vocab_size").value_or(rows);
    if (said < 1 || said > rows)
      config_.fail("vocab_size is " + std::to_string(said) + ", but the embedding has " +
                   std::to_string(rows) + " rows");
    const int64_t multiple = config_.integer(keys_.vocab_multiple).value_or(1);
    if (multiple > 1 && rows != said && (rows % multiple != 0 || rows - said >= multiple))
      config_.warn(std::string(keys_.vocab_multiple) + " is " + std::to_string(multiple) +
                   " and vocab_size " + std::to_string(said) + ", but the embedding has " +
                   std::to_string(rows) + " rows; going by the tensors");
    return said;
  }

  int64_t layer_count() const {
    int64_t layers = 0;
    while (weights_.find(layers, "norm.weight")) ++layers;
    const int64_t said = config_.integer(keys_.n_layer).value_or(layers);
    // Fewer or more layers would run, and say something else than the model: no guess here.
    if (said != layers)
      config_.fail(std::string(keys_.n_layer) + " is " + std::to_string(said) +
                   ", but the tensors have " + std::to_string(layers) + " layers");
    if (layers == 0)
      config_.fail("there are no layers: no tensor " +
                   weights_.stored_name(layer_name(0, "norm.weight")));
    return layers;
  }

  Mamba1Config mamba1(int64_t layer, int64_t d_model, bool falcon) const {
    Mamba1Config c = mamba1_config(weights_, layer, d_model);
    if (falcon) c.dt_b_c_rms_eps = config_.epsilon("mixer_rms_eps", 1e-6f);
    if (layer == 0) {
      agree_inner(c.d_inner, d_model);
      mixer_.agree(keys_.d_state, c.d_state);
      mixer_.agree(keys_.d_conv, c.d_conv);
      const json* rank = mixer_.value(keys_.dt_rank);
      if (rank && *rank == "auto") {
        if ((d_model + 15) / 16 != c.dt_rank)
          mixer_.warn(std::string(keys_.dt_rank) + " is \"auto\", " +
                      std::to_string((d_model + 15) / 16) + ", but the tensors have " +
                      std::to_string(c.dt_rank) + "; going by the tensors");
      } else {
        mixer_.agree(keys_.dt_rank, c.dt_rank);
      }
    }
    require_biases(layer);
    return c;
  }

  Mamba2Config mamba2(int64_t layer, int64_t d_model, float norm_eps) const {
    Mamba2Config c = mamba2_config(
        weights_, layer, d_model,
        {mixer_.integer(keys_.n_groups), mixer_.integer(keys_.d_state), keys_.n_groups_default});
    c.norm_eps = norm_eps;
    mixer_.limits(keys_.dt_limit, c.dt_min, c.dt_max);
    c.norm_before_gate = mixer_.flag(keys_.norm_before_gate).value_or(false);
    const std::optional<bool> norm = mixer_.flag(keys_.gated_norm);
    if (norm == true && !c.gated_norm)
      mixer_.fail(std::string(keys_.gated_norm) + " is true, but tensor " +
                  weights_.stored_name(layer_name(layer, "mixer.norm.weight")) + " is missing");
    if (layer == 0) {
      if (norm == false && c.gated_norm)
        mixer_.warn(std::string(keys_.gated_norm) +
                    " is false, but the mixers have a norm; going by the tensors");
      agree_inner(c.d_inner(), d_model);
      mixer_.agree(keys_.d_conv, c.d_conv);
      mixer_.agree(keys_.n_heads, c.n_heads);
      mixer_.agree(keys_.head_dim, c.head_dim);
    }
    require_biases(layer);
    return c;
  }

  S4dConfig s4d(int64_t layer, int64_t d_model) const {
    const S4dConfig c = s4d_config(weights_, layer, d_model);
    if (layer == 0) {
      agree_inner(c.d_inner, d_model);
      mixer_.agree(keys_.d_state, c.d_state);
      mixer_.agree(keys_.d_conv, c.d_conv);
    }
    require_biases(layer);
    return c;
  }

  // d_inner is said itself, or as a multiple of d_model.
  void agree_inner(int64_t d_inner, int64_t d_model) const {
    if (mixer_.value(keys_.d_inner)) return mixer_.agree(keys_.d_inner, d_inner);
    const json* expand = mixer_.value("expand");
    if (!expand) return;
    if (!expand->is_number()) mixer_.fail("expand is " + expand->dump() + "; expected a number");
    if (std::floor(expand->get<double>() * static_cast<double>(d_model)) !=
        static_cast<double>(d_inner))
      mixer_.warn("expand is " + expand->dump() + ", but the tensors have d_inner " +
                  std::to_string(d_inner) + " and d_model " + std::to_string(d_model) +
                  "; going by the tensors");
  }

  void require_biases(int64_t layer) const {
    require_bias(layer, keys_.bias, "mixer.in_proj.bias");
    require_bias(layer, keys_.bias, "mixer.out_proj.bias");
    require_bias(layer, keys_.conv_bias, "mixer.conv1d.bias");
  }

  // A bias that is there is used; one that config.json promises must be there.
  void require_bias(int64_t layer, const char* key, const char* tensor) const {
    if (mixer_.flag(key) == true && !weights_.find(layer, tensor))
      mixer_.fail(std::string(key) + " is true, but tensor " +
                  weights_.stored_name(layer_name(layer, tensor)) + " is missing");
  }

  Weights weights_;
  std::string source_;
  ConfigValues config_;
  const Dialect& keys_;
  ConfigValues mixer_;
};

}  // namespace

ModelConfig read_model_config(const Checkpoint& checkpoint, const Warn& warn) {
  if (is_gguf_config(checkpoint.config())) return read_gguf_config(checkpoint, warn);
  return ConfigReader(checkpoint, warn).read();
}

}  // namespace krait
