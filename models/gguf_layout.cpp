#include "models/gguf_layout.h"

#include <array>
#include <charconv>
#include <cmath>

#include "krait/error.h"
#include "models/config_gguf.h"
#include "models/weight_names.h"

namespace krait {
namespace {

using nlohmann::ordered_json;
using Source = GgufWeight::Source;

// The model trains on no particular length; converters write this one.
constexpr uint32_t kContextLength = 1u << 20;

// The fewest digits that give the same float back: 1e-05, not 9.999999747378752e-06.
std::string digits(float value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

class LayoutBuilder {
 public:
  LayoutBuilder(const Checkpoint& checkpoint, const ModelConfig& config, const Warn& warn)
      : weights_(checkpoint), config_(config), warn_(warn), source_(checkpoint.source()) {}

  GgufLayout build() {
    for (const LayerConfig& layer : config_.layers)
      if (std::holds_alternative<S4dConfig>(layer)) refuse("the mixers are S4D");
    refuse_mixed_layers();
    const bool is_mamba2 = std::holds_alternative<Mamba2Config>(config_.layers.front());
    architecture_ = is_mamba2 ? "mamba2" : "mamba";
    out_.metadata["general.architecture"] = architecture_;
    describe_stack();
    std::visit([&](const auto& mixer) { describe(mixer); }, config_.layers.front());
    if (config_.vocab_size != config_.embedding_rows)
      out_.metadata[kKraitVocabSize] = static_cast<uint64_t>(config_.vocab_size);
    matrix("embedding.weight", {config_.embedding_rows, config_.d_model});
    vector("norm_f.weight", {config_.d_model});
    if (!config_.tied_head) matrix("lm_head.weight", {config_.embedding_rows, config_.d_model});
    for (size_t i = 0; i < config_.layers.size(); ++i) {
      layer_ = static_cast<int64_t>(i);
      vector(in_layer("norm.weight"), {config_.d_model});
      std::visit([&](const auto& mixer) { add(mixer); }, config_.layers[i]);
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw InputError(source_ + ": " + what + ", which GGUF cannot say");
  }

  // The format has one set of sizes for all layers.
  void refuse_mixed_layers() const {
    for (size_t i = 1; i < config_.layers.size(); ++i)
      if (sizes_of(config_.layers[i]) != sizes_of(config_.layers.front()))
        refuse("layer " + std::to_string(i) + " has other sizes than layer 0");
  }

  static std::vector<int64_t> sizes_of(const LayerConfig& layer) {
    if (const auto* c = std::get_if<Mamba1Config>(&layer))
      return {c->d_inner, c->d_state, c->d_conv, c->dt_rank};
    const auto& c = std::get<Mamba2Config>(layer);
    return {c.n_heads, c.head_dim, c.n_groups, c.d_state, c.d_conv};
  }

  void say(const char* name, ordered_json value) {
    out_.metadata[architecture_ + "." + name] = std::move(value);
  }
  void say_size(const char* name, int64_t value) { say(name, static_cast<uint64_t>(value)); }

  void describe_stack() {
    say("context_length", kContextLength);
    say_size("embedding_length", config_.d_model);
    say_size("feed_forward_length", 0);
    say_size("attention.head_count", 0);
    say_size("block_count", std::ssize(config_.layers));
    say_size("vocab_size", config_.embedding_rows);
    say("attention.layer_norm_rms_epsilon", config_.norm_eps);
  }

  void describe(const Mamba1Config& c) {
    say_size("ssm.conv_kernel", c.d_conv);
    say_size("ssm.inner_size", c.d_inner);
    say_size("ssm.state_size", c.d_state);
    say_size("ssm.time_step_rank", c.dt_rank);
    say("ssm.dt_b_c_rms", c.dt_b_c_rms_eps.has_value());
    if (c.d_inner != 2 * config_.d_model)
      warn_(source_ + ": d_inner is " + std::to_string(c.d_inner) + " and d_model " +
            std::to_string(config_.d_model) + "; llama.cpp loads only models of twice d_model");
    if (!c.dt_b_c_rms_eps || *c.dt_b_c_rms_eps == config_.norm_eps) return;
    out_.metadata[kKraitMixerEps] = *c.dt_b_c_rms_eps;
    warn_(source_ + ": mixer_rms_eps is " + digits(*c.dt_b_c_rms_eps) +
          ", for which GGUF has no key; llama.cpp will take the norms' " +
          digits(config_.norm_eps));
  }

  void describe(const Mamba2Config& c) {
    say_size("ssm.conv_kernel", c.d_conv);
    say_size("ssm.inner_size", c.d_inner());
    say_size("ssm.state_size", c.d_state);
    say_size("ssm.time_step_rank", c.n_heads);  // not a rank: the head count has this key
    say_size("ssm.group_count", c.n_groups);
    if (c.dt_min != 0.0f || !std::isinf(c.dt_max))
      refuse("the limits of dt are [" + digits(c.dt_min) + ", " + digits(c.dt_max) + "]");
    if (!c.gated_norm) refuse("the mixers have no norm");
    if (c.norm_before_gate) refuse("norm_before_gate is true");
  }

  void describe(const S4dConfig&) {}  // refused before

  std::string in_layer(const char* part) const { return layer_name(layer_, part); }

  void matrix(const std::string& canonical, Shape shape) {
    weights_.require(canonical, shape);
    out_.weights.push_back({canonical, gguf_name(canonical), std::move(shape), true});
  }

  void vector(const std::string& canonical, Shape shape) {
    const Tensor* tensor = weights_.find(canonical);
    if (!tensor || tensor->elements() != element_count(shape)) weights_.require(canonical, shape);
    out_.weights.push_back({canonical, gguf_name(canonical), std::move(shape)});
  }

  void add(const Mamba1Config& c) {
    refuse_biases();
    matrix(in_layer("mixer.in_proj.weight"), {2 * c.d_inner, config_.d_model});
    add_conv(c.d_inner, c.d_conv);
    matrix(in_layer("mixer.x_proj.weight"), {c.dt_rank + 2 * c.d_state, c.d_inner});
    matrix(in_layer("mixer.dt_proj.weight"), {c.d_inner, c.dt_rank});
    vector(in_layer("mixer.dt_proj.bias"), {c.d_inner});
    add_decay({c.d_inner, c.d_state});
    vector(in_layer("mixer.D"), {c.d_inner});
    matrix(in_layer("mixer.out_proj.weight"), {config_.d_model, c.d_inner});
  }

  void add(const Mamba2Config& c) {
    refuse_biases();
    const Tensor* d = weights_.find(layer_, "mixer.D");
    if (d && d->elements() != c.n_heads)
      refuse("tensor " + weights_.stored_name(in_layer("mixer.D")) +
             " has a value for every channel");
    matrix(in_layer("mixer.in_proj.weight"),
           {c.d_inner() + c.conv_dim() + c.n_heads, config_.d_model});
    add_conv(c.conv_dim(), c.d_conv);
    vector(in_layer("mixer.dt_bias"), {c.n_heads});
    add_decay({c.n_heads, 1});
    vector(in_layer("mixer.D"), {c.n_heads, 1});
    vector(in_layer("mixer.norm.weight"), {c.n_groups, c.d_inner() / c.n_groups});
    matrix(in_layer("mixer.out_proj.weight"), {config_.d_model, c.d_inner()});
  }

  void add(const S4dConfig&) {}  // refused before

  void refuse_biases() const {
    for (const char* bias : {"mixer.in_proj.bias", "mixer.out_proj.bias"})
      if (weights_.find(layer_, bias))
        refuse("there is a tensor " + weights_.stored_name(in_layer(bias)));
  }

  // In the format the convolution always has a bias.
  void add_conv(int64_t channels, int64_t d_conv) {
    const std::string bias = in_layer("mixer.conv1d.bias");
    vector(in_layer("mixer.conv1d.weight"), {channels, d_conv});
    if (weights_.find(bias)) return vector(bias, {channels});
    out_.weights.push_back({bias, gguf_name(bias), {channels}, false, Source::zeros});
  }

  void add_decay(Shape shape) {
    out_.weights.push_back({weights_.decay_name(layer_), gguf_name(in_layer("mixer.A")),
                            std::move(shape), false, Source::decay});
  }

  Weights weights_;
  const ModelConfig& config_;
  const Warn& warn_;
  std::string source_;
  std::string architecture_;
  int64_t layer_ = 0;  // the one being added
  GgufLayout out_;
};

}  // namespace

GgufLayout gguf_layout(const Checkpoint& checkpoint, const ModelConfig& config, const Warn& warn) {
  return LayoutBuilder(checkpoint, config, warn).build();
}

}  // namespace krait
