#include "models/config_gguf.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "models/mamba1.h"
#include "models/mamba2.h"
#include "models/weight_names.h"

namespace krait {
namespace {

using nlohmann::json;

class GgufConfigReader {
 public:
  GgufConfigReader(const Checkpoint& checkpoint, const Warn& warn)
      : weights_(checkpoint),
        metadata_(checkpoint.config()),
        warn_(warn),
        source_(checkpoint.source()),
        architecture_(architecture()) {}

  ModelConfig read() const {
    if (weights_.checkpoint().names().empty())
      fail("holds no tensors, as files with only a vocabulary do; expected a model");
    const bool falcon = flag(key_of("ssm.dt_b_c_rms"));
    ModelConfig out;
    out.architecture = falcon ? "falcon_mamba" : architecture_;
    const Tensor& embedding = weights_.require("embedding.weight", {-1, -1});
    out.embedding_rows = embedding.shape[0];
    out.d_model = embedding.shape[1];
    if (out.embedding_rows > std::numeric_limits<int32_t>::max())
      fail("the embedding has more rows than an id can name");
    agree("embedding_length", out.d_model);
    agree("vocab_size", out.embedding_rows);
    out.vocab_size = vocab_size(out.embedding_rows);
    out.norm_eps = epsilon(key_of("attention.layer_norm_rms_epsilon"));
    out.tied_head = weights_.find("lm_head.weight") == nullptr;
    const int64_t layers = layer_count();
    for (int64_t layer = 0; layer < layers; ++layer) {
      if (architecture_ == "mamba2")
        out.layers.emplace_back(mamba2(layer, out));
      else
        out.layers.emplace_back(mamba1(layer, out, falcon));
    }
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InputError(source_ + ": " + what); }

  std::string key_of(const char* name) const { return architecture_ + "." + name; }

  // nullptr for a key that is absent.
  const json* value(const std::string& key) const {
    const auto found = metadata_.find(key);
    return found == metadata_.end() ? nullptr : &*found;
  }

  std::optional<int64_t> integer(const std::string& key) const {
    const json* v = value(key);
    if (!v) return std::nullopt;
    const bool too_large = v->is_number_unsigned() &&
                           v->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
    if (!v->is_number_integer() || too_large)
      fail(key + " is " + words(*v) + "; expected an integer within 64 bits");
    return v->get<int64_t>();
  }

  bool flag(const std::string& key) const {
    const json* v = value(key);
    if (v && !v->is_boolean()) fail(key + " is " + words(*v) + "; expected true or false");
    return v && v->get<bool>();
  }

  float epsilon(const std::string& key) const {
    const json* v = value(key);
    if (!v) fail("there is no metadata key " + key);
    const double eps = v->is_number() ? v->get<double>() : -1.0;
    if (!(eps > 0.0 && eps < 1.0)) fail(key + " is " + words(*v) + "; expected a number in (0, 1)");
    return static_cast<float>(eps);
  }

  // Text may be long.
  static std::string words(const json& value) {
    return value.is_string()  ? std::string("a string")
           : value.is_array() ? "an array"
                              : value.dump();
  }

  void agree(const char* name, int64_t found) const {
    const std::optional<int64_t> said = integer(key_of(name));
    if (said && *said != found)
      warn_(source_ + ": " + key_of(name) + " is " + std::to_string(*said) +
            ", but the tensors have " + std::to_string(found) + "; going by the tensors");
  }

  std::string architecture() const {
    const json& found = *value("general.architecture");  // a string: the container's rule
    if (found != "mamba" && found != "mamba2")
      fail("general.architecture is \"" + found.get_ref<const std::string&>().substr(0, 80) +
           "\"; expected \"mamba\" or \"mamba2\"");
    return found;
  }

  // Rows that may be sampled. Converters pad the vocabulary at its end with tokens that are named
  // "[PAD" and their own index "]"; krait says it as well, for files without tokens.
  int64_t vocab_size(int64_t rows) const {
    const int64_t said = integer(kKraitVocabSize).value_or(rows);
    if (said < 1 || said > rows)
      fail(std::string(kKraitVocabSize) + " is " + std::to_string(said) +
           ", but the embedding has " + std::to_string(rows) + " rows");
    const json* tokens = value("tokenizer.ggml.tokens");
    if (!tokens) return said;
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
    return std::min(count, said);
  }

  int64_t layer_count() const {
    int64_t layers = 0;
    while (weights_.find(layers, "norm.weight")) ++layers;
    const int64_t said = integer(key_of("block_count")).value_or(layers);
    // Fewer or more layers would run, and say something else than the model: no guess here.
    if (said != layers)
      fail(key_of("block_count") + " is " + std::to_string(said) + ", but the tensors have " +
           std::to_string(layers) + " layers");
    if (layers == 0) fail("there are no layers: no tensor blk.0.attn_norm.weight");
    return layers;
  }

  Mamba1Config mamba1(int64_t layer, const ModelConfig& model, bool falcon) const {
    Mamba1Config c = mamba1_config(weights_, layer, model.d_model);
    // llama.cpp has no other epsilon than that of the norms here. Files of krait say what the model
    // was trained with.
    if (falcon) c.dt_b_c_rms_eps = value(kKraitMixerEps) ? epsilon(kKraitMixerEps) : model.norm_eps;
    if (layer == 0) {
      agree("ssm.inner_size", c.d_inner);
      agree("ssm.state_size", c.d_state);
      agree("ssm.conv_kernel", c.d_conv);
      agree("ssm.time_step_rank", c.dt_rank);
    }
    return c;
  }

  Mamba2Config mamba2(int64_t layer, const ModelConfig& model) const {
    // The norm says the groups, which no other shape shows; the architecture always has one.
    const int64_t said = integer(key_of("ssm.group_count")).value_or(1);
    const std::optional<int64_t> groups = weights_.norm_groups(layer);
    if (!groups && (said != 1 || !weights_.find(layer, "mixer.norm.weight")))
      weights_.require(layer, "mixer.norm.weight", {said, -1});
    Mamba2Config c = mamba2_config(weights_, layer, model.d_model, {groups, std::nullopt});
    c.norm_eps = model.norm_eps;
    if (layer == 0) {
      agree("ssm.inner_size", c.d_inner());
      agree("ssm.state_size", c.d_state);
      agree("ssm.conv_kernel", c.d_conv);
      agree("ssm.time_step_rank", c.n_heads);  // not a rank: the head count has this key
      agree("ssm.group_count", c.n_groups);
    }
    return c;
  }

  Weights weights_;
  const json& metadata_;
  const Warn& warn_;
  std::string source_;
  std::string architecture_;  // the first part of most keys
};

}  // namespace

bool is_gguf_config(const json& config) { return config.contains("general.architecture"); }

ModelConfig read_gguf_config(const Checkpoint& checkpoint, const Warn& warn) {
  return GgufConfigReader(checkpoint, warn).read();
}

}  // namespace krait
