#include "models/config_gguf.h"

#include <limits>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "models/mamba1.h"
#include "models/weight_names.h"

namespace krait {
namespace {

using nlohmann::json;

constexpr const char* kArchitecture = "mamba";

class GgufConfigReader {
 public:
  GgufConfigReader(const Checkpoint& checkpoint, const Warn& warn)
      : weights_(checkpoint),
        metadata_(checkpoint.config()),
        warn_(warn),
        source_(checkpoint.source()) {}

  ModelConfig read() const {
    require_supported();
    ModelConfig out;
    out.architecture = kArchitecture;
    const Tensor& embedding = weights_.require("embedding.weight", {-1, -1});
    out.embedding_rows = embedding.shape[0];
    out.d_model = embedding.shape[1];
    if (out.embedding_rows > std::numeric_limits<int32_t>::max())
      fail("the embedding has more rows than an id can name");
    agree("embedding_length", out.d_model);
    agree("vocab_size", out.embedding_rows);
    out.vocab_size = vocab_size(out.embedding_rows);
    out.norm_eps = norm_eps();
    out.tied_head = weights_.find("lm_head.weight") == nullptr;
    const int64_t layers = layer_count();
    for (int64_t layer = 0; layer < layers; ++layer)
      out.layers.emplace_back(mamba1(layer, out.d_model));
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InputError(source_ + ": " + what); }

  static std::string key_of(const char* name) { return std::string(kArchitecture) + "." + name; }

  // nullptr for a key that is absent.
  const json* value(const std::string& key) const {
    const auto found = metadata_.find(key);
    return found == metadata_.end() ? nullptr : &*found;
  }

  std::optional<int64_t> integer(const char* name) const {
    const json* v = value(key_of(name));
    if (!v) return std::nullopt;
    const bool too_large = v->is_number_unsigned() &&
                           v->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
    if (!v->is_number_integer() || too_large)
      fail(key_of(name) + " is " + words(*v) + "; expected an integer within 64 bits");
    return v->get<int64_t>();
  }

  // Text may be long.
  static std::string words(const json& value) {
    return value.is_string()  ? std::string("a string")
           : value.is_array() ? "an array"
                              : value.dump();
  }

  void agree(const char* name, int64_t found) const {
    const std::optional<int64_t> said = integer(name);
    if (said && *said != found)
      warn_(source_ + ": " + key_of(name) + " is " + std::to_string(*said) +
            ", but the tensors have " + std::to_string(found) + "; going by the tensors");
  }

  void require_supported() const {
    const json& architecture = *value("general.architecture");  // a string: the container's rule
    if (architecture != kArchitecture) {
      const std::string& name = architecture.get_ref<const std::string&>();
      fail("general.architecture is \"" + name.substr(0, 80) + "\"; expected \"" + kArchitecture +
           "\"");
    }
    if (weights_.checkpoint().names().empty())
      fail("holds no tensors, as files with only a vocabulary do; expected a model");
    if (const json* norms = value(key_of("ssm.dt_b_c_rms"))) {
      if (!norms->is_boolean())
        fail(key_of("ssm.dt_b_c_rms") + " is " + words(*norms) + "; expected true or false");
      if (norms->get<bool>())
        fail(key_of("ssm.dt_b_c_rms") +
             " is true: Falcon-Mamba in GGUF is not supported yet; expected false");
    }
  }

  // Rows that may be sampled. Converters pad the vocabulary at its end with tokens that are named
  // "[PAD" and their own index "]".
  int64_t vocab_size(int64_t rows) const {
    const json* tokens = value("tokenizer.ggml.tokens");
    if (!tokens) return rows;
    if (!tokens->is_array())
      fail("tokenizer.ggml.tokens is " + words(*tokens) + "; expected an array of strings");
    int64_t count = static_cast<int64_t>(tokens->size());
    if (count > rows)
      fail("tokenizer.ggml.tokens has " + std::to_string(count) +
           " tokens, but the embedding has " + std::to_string(rows) + " rows");
    while (count > 0 &&
           (*tokens)[static_cast<size_t>(count - 1)] == "[PAD" + std::to_string(count - 1) + "]")
      --count;
    if (count == 0) fail("tokenizer.ggml.tokens has no token but padding");
    return count;
  }

  float norm_eps() const {
    const std::string key = key_of("attention.layer_norm_rms_epsilon");
    const json* v = value(key);
    if (!v) fail("there is no metadata key " + key);
    const double eps = v->is_number() ? v->get<double>() : -1.0;
    if (!(eps > 0.0 && eps < 1.0)) fail(key + " is " + words(*v) + "; expected a number in (0, 1)");
    return static_cast<float>(eps);
  }

  int64_t layer_count() const {
    int64_t layers = 0;
    while (weights_.find(layers, "norm.weight")) ++layers;
    const int64_t said = integer("block_count").value_or(layers);
    // Fewer or more layers would run, and say something else than the model: no guess here.
    if (said != layers)
      fail(key_of("block_count") + " is " + std::to_string(said) + ", but the tensors have " +
           std::to_string(layers) + " layers");
    if (layers == 0) fail("there are no layers: no tensor blk.0.attn_norm.weight");
    return layers;
  }

  Mamba1Config mamba1(int64_t layer, int64_t d_model) const {
    const Mamba1Config c = mamba1_config(weights_, layer, d_model);
    if (layer == 0) {
      agree("ssm.inner_size", c.d_inner);
      agree("ssm.state_size", c.d_state);
      agree("ssm.conv_kernel", c.d_conv);
      agree("ssm.time_step_rank", c.dt_rank);
    }
    return c;
  }

  Weights weights_;
  const json& metadata_;
  const Warn& warn_;
  std::string source_;
};

}  // namespace

bool is_gguf_config(const json& config) { return config.contains("general.architecture"); }

ModelConfig read_gguf_config(const Checkpoint& checkpoint, const Warn& warn) {
  return GgufConfigReader(checkpoint, warn).read();
}

}  // namespace krait
