#include "tools/common/random_tensors.h"

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace krait {
namespace {

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

double per_input(int64_t inputs) { return 1 / std::sqrt(static_cast<double>(inputs)); }

float one(uint64_t, int64_t) { return 1.0f; }

void add_mamba1(const RandomCheckpoint& c, const std::string& mixer, Tensors& tensors) {
  const int64_t d_inner = c.d_inner(), dt_rank = c.rank(), n = c.d_state;
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
  tensors.add(mixer + "D", {d_inner}, one);
  tensors.add_normal(mixer + "out_proj.weight", {c.d_model, d_inner}, per_input(d_inner));
  if (c.use_bias) tensors.add_normal(mixer + "out_proj.bias", {c.d_model}, 0.1);
}

void add_mamba2(const RandomCheckpoint& c, const std::string& mixer, Tensors& tensors) {
  const int64_t d_inner = c.d_inner(), n_heads = c.n_heads();
  const int64_t conv_dim = d_inner + 2 * c.n_groups * c.d_state;
  const int64_t rows = d_inner + conv_dim + n_heads;
  tensors.add_normal(mixer + "in_proj.weight", {rows, c.d_model}, per_input(c.d_model));
  if (c.use_bias) tensors.add_normal(mixer + "in_proj.bias", {rows}, 0.1);
  tensors.add_normal(mixer + "conv1d.weight", {conv_dim, 1, c.d_conv}, per_input(c.d_conv));
  if (c.conv_bias) tensors.add_normal(mixer + "conv1d.bias", {conv_dim}, 0.1);
  tensors.add(mixer + "dt_bias", {n_heads}, dt_bias);
  tensors.add(mixer + "A_log", {n_heads}, [](uint64_t key, int64_t i) {  // A from -1 to -16
    return static_cast<float>(std::log(1 + std::round(uniform(key, i) * 15)));
  });
  tensors.add(mixer + "D", {n_heads}, one);
  tensors.add_uniform(mixer + "norm.weight", {d_inner}, 1, 0.1);
  tensors.add_normal(mixer + "out_proj.weight", {c.d_model, d_inner}, per_input(d_inner));
  if (c.use_bias) tensors.add_normal(mixer + "out_proj.bias", {c.d_model}, 0.1);
}

}  // namespace

std::vector<NamedTensor> random_tensors(const RandomCheckpoint& c) {
  // transformers says "embeddings", mamba_ssm "embedding"; Mistral wraps the latter once more.
  const bool hugging_face = c.layout == RandomLayout::hugging_face;
  const std::string prefix = c.layout == RandomLayout::mistral ? "model." : "";
  const std::string backbone = prefix + "backbone.";
  // Logits of deviation 2, whatever d_model: the head multiplies a vector of d_model unit values.
  const double head = 2 * per_input(c.d_model);
  Tensors tensors(c);
  tensors.add_normal(backbone + (hugging_face ? "embeddings.weight" : "embedding.weight"),
                     {c.vocab_rows, c.d_model}, c.tied ? head : 0.5);
  for (int64_t layer = 0; layer < c.n_layer; ++layer) {
    const std::string base = backbone + "layers." + std::to_string(layer) + ".";
    tensors.add_uniform(base + "norm.weight", {c.d_model}, 1, 0.1);
    if (c.architecture == RandomArchitecture::mamba2)
      add_mamba2(c, base + "mixer.", tensors);
    else
      add_mamba1(c, base + "mixer.", tensors);
  }
  tensors.add_uniform(backbone + "norm_f.weight", {c.d_model}, 1, 0.1);
  if (!c.tied) tensors.add_normal(prefix + "lm_head.weight", {c.vocab_rows, c.d_model}, head);
  return tensors.take();
}

}  // namespace krait
