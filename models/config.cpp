// config.json and the tensors' shapes -> ModelConfig and its layer list. Shapes decide: a number of
// config.json that they contradict is reported, and refused where it leaves a doubt.
#include <cmath>
#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "krait/model.h"
#include "models/config_gguf.h"
#include "models/mamba1.h"
#include "models/weight_names.h"

namespace krait {
namespace {

using nlohmann::json;

class ConfigReader {
 public:
  ConfigReader(const Checkpoint& checkpoint, const Warn& warn)
      : weights_(checkpoint), config_(checkpoint.config()), warn_(warn) {
    source_ = checkpoint.source() + ": config.json";
    if (!config_.is_object()) fail("is not a JSON object");
  }

  ModelConfig read() {
    require_supported();
    ModelConfig out;
    out.architecture = "mamba";
    const Tensor& embedding = weights_.require("embedding.weight", {-1, -1});
    out.embedding_rows = embedding.shape[0];
    out.d_model = embedding.shape[1];
    if (out.embedding_rows < 1 || out.d_model < 1)
      throw InputError(source_ + ": the embedding has shape " + to_string(embedding.shape));
    if (out.embedding_rows > std::numeric_limits<int32_t>::max())
      throw InputError(source_ + ": the embedding has more rows than an id can name");
    agree("hidden_size", out.d_model);
    out.vocab_size = vocab_size(out.embedding_rows);
    out.norm_eps = norm_eps();
    out.tied_head = weights_.find("lm_head.weight") == nullptr;
    if (out.tied_head && !flag("tie_word_embeddings", true))
      fail("tie_word_embeddings is false, but there is no tensor lm_head.weight");
    const int64_t layers = layer_count();
    for (int64_t layer = 0; layer < layers; ++layer)
      out.layers.emplace_back(mamba1(layer, out.d_model));
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InputError(source_ + ": " + what); }

  // nullptr for a key that is absent or null.
  const json* value(const char* key) const {
    const auto found = config_.find(key);
    return found == config_.end() || found->is_null() ? nullptr : &*found;
  }

  std::optional<int64_t> integer(const char* key) const {
    const json* v = value(key);
    if (!v) return std::nullopt;
    if (v->is_number_integer()) {
      if (v->is_number_unsigned() &&
          v->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        fail(std::string(key) + " is " + v->dump() + "; expected an integer within 64 bits");
      return v->get<int64_t>();
    }
    if (v->is_number_float() && std::floor(v->get<double>()) == v->get<double>() &&
        std::fabs(v->get<double>()) < 1e15)
      return static_cast<int64_t>(v->get<double>());
    fail(std::string(key) + " is " + v->dump() + "; expected an integer");
  }

  bool flag(const char* key, bool otherwise) const {
    const json* v = value(key);
    if (!v) return otherwise;
    if (!v->is_boolean()) fail(std::string(key) + " is " + v->dump() + "; expected true or false");
    return v->get<bool>();
  }

  // The shapes say `found`. A config that says otherwise is wrong and harmless: every tensor is
  // checked against the shapes.
  void agree(const char* key, int64_t found) const {
    const std::optional<int64_t> said = integer(key);
    if (said && *said != found)
      warn_(source_ + ": " + key + " is " + std::to_string(*said) + ", but the tensors have " +
            std::to_string(found) + "; going by the tensors");
  }

  void require_supported() const {
    const json* type = value("model_type");
    if (type && (!type->is_string() || type->get<std::string>() != "mamba"))
      fail("model_type is " + type->dump() + "; expected \"mamba\"");
    const json* architectures = value("architectures");
    if (!type && architectures && *architectures != json::array({"MambaForCausalLM"}))
      fail("architectures is " + architectures->dump() + "; expected [\"MambaForCausalLM\"]");
    if (const json* act = value("hidden_act"); act && *act != "silu" && *act != "swish")
      fail("hidden_act is " + act->dump() + "; expected \"silu\"");
  }

  int64_t vocab_size(int64_t rows) const {
    const int64_t said = integer("vocab_size").value_or(rows);
    if (said < 1 || said > rows)
      fail("vocab_size is " + std::to_string(said) + ", but the embedding has " +
           std::to_string(rows) + " rows");
    return said;
  }

  float norm_eps() const {
    const json* v = value("layer_norm_epsilon");
    if (!v) return 1e-5f;
    const double eps = v->is_number() ? v->get<double>() : -1.0;
    if (!(eps > 0.0 && eps < 1.0))
      fail("layer_norm_epsilon is " + v->dump() + "; expected a number in (0, 1)");
    return static_cast<float>(eps);
  }

  int64_t layer_count() const {
    int64_t layers = 0;
    while (weights_.find(layers, "norm.weight")) ++layers;
    const int64_t said = integer("num_hidden_layers").value_or(layers);
    // Fewer or more layers would run, and say something else than the model: no guess here.
    if (said != layers)
      fail("num_hidden_layers is " + std::to_string(said) + ", but the tensors have " +
           std::to_string(layers) + " layers");
    if (layers == 0) fail("there are no layers: no tensor backbone.layers.0.norm.weight");
    return layers;
  }

  Mamba1Config mamba1(int64_t layer, int64_t d_model) const {
    const Mamba1Config c = mamba1_config(weights_, layer, d_model);
    if (layer == 0) {
      agree("intermediate_size", c.d_inner);
      agree("state_size", c.d_state);
      agree("conv_kernel", c.d_conv);
      const json* rank = value("time_step_rank");
      if (rank && *rank == "auto") {
        if ((d_model + 15) / 16 != c.dt_rank)
          warn_(source_ + ": time_step_rank is \"auto\", " + std::to_string((d_model + 15) / 16) +
                ", but the tensors have " + std::to_string(c.dt_rank) + "; going by the tensors");
      } else {
        agree("time_step_rank", c.dt_rank);
      }
    }
    require_bias(layer, "use_bias", "mixer.in_proj.bias");
    require_bias(layer, "use_bias", "mixer.out_proj.bias");
    require_bias(layer, "use_conv_bias", "mixer.conv1d.bias");
    return c;
  }

  // A bias that is there is used; one that config.json promises must be there.
  void require_bias(int64_t layer, const char* key, const char* tensor) const {
    if (flag(key, false) && !weights_.find(layer, tensor))
      fail(std::string(key) + " is true, but tensor " +
           weights_.stored_name(layer_name(layer, tensor)) + " is missing");
  }

  Weights weights_;
  const json& config_;
  const Warn& warn_;
  std::string source_;
};

}  // namespace

ModelConfig read_model_config(const Checkpoint& checkpoint, const Warn& warn) {
  if (is_gguf_config(checkpoint.config())) return read_gguf_config(checkpoint, warn);
  return ConfigReader(checkpoint, warn).read();
}

}  // namespace krait
