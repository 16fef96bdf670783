#include "models/mamba2.h"

#include "krait/error.h"

namespace krait {
namespace {

int64_t in_proj_rows(const Mamba2Config& c) noexcept {
  return c.d_inner() + c.conv_dim() + c.n_heads;
}

class Mamba2 final : public Mixer {
 public:
  Mamba2(Loader& loader, const Mamba2Config& config, int64_t layer, int64_t d_model);

  int64_t scratch_floats() const noexcept override { return krait::scratch_floats(config_); }

  bool step(Backend& backend, const BlockNorm& norm, std::span<const Segment> segments,
            StateView states, Rows residual, Scratch scratch) const override;
  void forward(Backend& backend, std::span<const Segment> segments, StateView states, Rows u,
               Rows residual, Scratch scratch) const override;

 private:
  SsdWeights scan() const noexcept {
    return {a_.get(),
            d_.get(),
            dt_bias_.get(),
            config_.dt_min,
            config_.dt_max,
            static_cast<int32_t>(config_.n_heads),
            static_cast<int32_t>(config_.n_groups),
            static_cast<int32_t>(config_.d_state)};
  }
  int64_t in_proj_rows() const noexcept { return krait::in_proj_rows(config_); }
  void gated_norm(Backend& backend, Rows y, Rows z) const;

  Mamba2Config config_;
  std::unique_ptr<Matrix> in_proj_, out_proj_;
  std::unique_ptr<Vector> in_bias_, out_bias_, a_, d_, dt_bias_, norm_;
  Conv conv_;
  PlaneOffsets planes_;
};

// The page: `Mamba2.step` of mamba_ssm for every token; the comments on the right name its lines.
void Mamba2::forward(Backend& backend, std::span<const Segment> segments, StateView states, Rows u,
                     Rows residual, Scratch scratch) const {
  const int64_t d_inner = config_.d_inner(), conv_dim = config_.conv_dim();
  const int64_t b_cols = config_.n_groups * config_.d_state;
  const Rows zxbcdt = scratch.take(in_proj_rows());
  const Rows z = zxbcdt.columns(0, d_inner), xbc = zxbcdt.columns(d_inner, conv_dim);
  const Rows x = xbc.columns(0, d_inner);
  const Rows b = xbc.columns(d_inner, b_cols), c = xbc.columns(d_inner + b_cols, b_cols);
  const Rows dt = zxbcdt.columns(d_inner + conv_dim, config_.n_heads);

  const StateView conv_state = plane_at(states, planes_.conv);
  const StateView ssm_state = plane_at(states, planes_.ssm);

  backend.linear(*in_proj_, in_bias_.get(), u, zxbcdt, false);           // z, xBC, dt = in_proj(u)
  backend.causal_conv(conv_.weights(), segments, conv_state, xbc, xbc);  // xBC = silu(conv1d(xBC))
  backend.ssd_scan(scan(), segments, ssm_state, x, dt, b, c, x);         // y = SSM(A, B, C, dt)(x)
  gated_norm(backend, x, z);                                             // y = norm(y, z)
  backend.linear(*out_proj_, out_bias_.get(), x, residual, true);        // residual += out_proj(y)
}

bool Mamba2::step(Backend& backend, const BlockNorm& norm, std::span<const Segment> segments,
                  StateView states, Rows residual, Scratch scratch) const {
  Mamba2Step step;
  step.block = block_step(norm, segments, states, planes_, residual);
  step.in_proj = in_proj_.get();
  step.out_proj = out_proj_.get();
  step.in_bias = in_bias_.get();
  step.out_bias = out_bias_.get();
  step.conv = conv_.weights();
  step.scan = scan();
  step.gated_norm = norm_ != nullptr;
  step.norm_before_gate = config_.norm_before_gate;
  step.gate_norm = norm_.get();
  step.gate_norm_eps = config_.norm_eps;
  step.zxbcdt = scratch.take(in_proj_rows());
  return backend.mamba2_step(step);
}

// `RMSNorm` of mamba_ssm/ops/triton/layernorm_gated.py, in groups of d_inner / n_groups.
void Mamba2::gated_norm(Backend& backend, Rows y, Rows z) const {
  const int32_t groups = static_cast<int32_t>(config_.n_groups);
  if (norm_ && config_.norm_before_gate)
    backend.rms_norm(y, norm_.get(), groups, config_.norm_eps, y);
  backend.gate(y, z, y);
  if (norm_ && !config_.norm_before_gate)
    backend.rms_norm(y, norm_.get(), groups, config_.norm_eps, y);
}

// D may be given for every channel instead of every head.
bool has_d_of_channels(const Weights& weights, int64_t layer, int64_t d_inner) {
  const Tensor* d = weights.find(layer, "mixer.D");
  return d && d->shape == Shape{d_inner};
}

// D for every channel.
std::vector<float> load_d(Loader& loader, int64_t layer, const Mamba2Config& c) {
  const std::string name = layer_name(layer, "mixer.D");
  if (has_d_of_channels(loader.weights, layer, c.d_inner()))
    return loader.values(name, {c.d_inner()});
  const std::vector<float> of_head =
      loader.values(name, loader.weights.require_per_head(name, c.n_heads).shape);
  std::vector<float> d;
  d.reserve(c.d_inner());
  for (const float value : of_head) d.insert(d.end(), c.head_dim, value);
  return d;
}

Mamba2::Mamba2(Loader& loader, const Mamba2Config& config, int64_t layer, int64_t d_model)
    : config_(config) {
  const int64_t d_inner = config.d_inner(), conv_dim = config.conv_dim();
  const auto name = [&](const char* part) { return layer_name(layer, part); };
  in_proj_ = loader.matrix(name("mixer.in_proj.weight"), {in_proj_rows(), d_model});
  in_bias_ = loader.optional_vector(name("mixer.in_proj.bias"), {in_proj_rows()});
  out_proj_ = loader.matrix(name("mixer.out_proj.weight"), {d_model, d_inner});
  out_bias_ = loader.optional_vector(name("mixer.out_proj.bias"), {d_model});
  conv_ = load_conv(loader, layer, conv_dim, config.d_conv);
  const Shape& a_shape =
      loader.weights.require_per_head(loader.weights.decay_name(layer), config.n_heads).shape;
  a_ = loader.vector(loader.decay(layer, a_shape));
  d_ = loader.vector(load_d(loader, layer, config));
  dt_bias_ = loader.vector(name("mixer.dt_bias"), {config.n_heads});
  if (config.gated_norm)
    norm_ = loader.vector(name("mixer.norm.weight"),
                          loader.weights.require_gated_norm(layer, d_inner).shape);
  planes_ = add_planes(loader.layout, config, layer);
}

// Divides the `product` of n_groups and d_state that the shapes show.
void split_groups(const std::string& where, int64_t product, const Mamba2Groups& said,
                  Mamba2Config& c) {
  if (said.n_groups) require_range(where + "n_groups", *said.n_groups, kMaxInner);
  if (said.d_state) require_range(where + "d_state", *said.d_state, kMaxState);
  const bool from_state = said.d_state && !said.n_groups;
  const int64_t known = from_state ? *said.d_state : said.n_groups.value_or(said.n_groups_default);
  const int64_t other = product / known;
  c.n_groups = from_state ? other : known;
  c.d_state = from_state ? known : other;
  if (known * other != product || (said.d_state && *said.d_state != c.d_state))
    throw InputError(where + "the tensors have " + std::to_string(product) +
                     " channels each for B and C; expected n_groups " + std::to_string(c.n_groups) +
                     " times d_state " + std::to_string(said.d_state.value_or(c.d_state)));
}

}  // namespace

Mamba2Config mamba2_config(const Weights& weights, int64_t layer, int64_t d_model,
                           const Mamba2Groups& said) {
  const std::string where =
      weights.checkpoint().source() + ": layer " + std::to_string(layer) + ": ";
  Mamba2Config c;
  c.n_heads = weights.require_per_head(weights.decay_name(layer), -1).shape[0];
  const Shape& conv = weights.require_conv(layer, -1, -1).shape;
  const int64_t rows = weights.require(layer, "mixer.in_proj.weight", {-1, d_model}).shape[0];
  const int64_t d_inner = weights.require(layer, "mixer.out_proj.weight", {d_model, -1}).shape[1];
  c.d_conv = conv.back();
  require_range(where + "d_inner", d_inner, kMaxInner);
  require_range(where + "n_heads", c.n_heads, kMaxInner);
  require_range(where + "the convolution's channel count", conv[0], kMaxInner);
  require_range(where + "d_conv", c.d_conv, kMaxConv);
  if (rows != d_inner + conv[0] + c.n_heads)
    throw InputError(where + "in_proj has " + std::to_string(rows) + " rows; expected " +
                     std::to_string(d_inner + conv[0] + c.n_heads) + ": " +
                     std::to_string(d_inner) + " for z, " + std::to_string(conv[0]) +
                     " for the convolution and " + std::to_string(c.n_heads) +
                     " for dt (an MLP inside the mixer, d_ssm below d_inner, is not supported)");
  if (d_inner % c.n_heads != 0)
    throw InputError(where + "d_inner is " + std::to_string(d_inner) +
                     "; expected a multiple of the " + std::to_string(c.n_heads) + " heads");
  c.head_dim = d_inner / c.n_heads;
  const int64_t bc = conv[0] - d_inner;
  if (bc < 2 || bc % 2 != 0)
    throw InputError(where + "the convolution has " + std::to_string(conv[0]) +
                     " channels; expected d_inner " + std::to_string(d_inner) +
                     " and an even number for B and C");
  split_groups(where, bc / 2, said, c);
  require_range(where + "d_state", c.d_state, kMaxState);
  if (c.n_groups > d_inner || c.n_heads % c.n_groups != 0)
    throw InputError(where + "n_groups is " + std::to_string(c.n_groups) +
                     "; expected a divisor of the " + std::to_string(c.n_heads) + " heads");
  weights.require(layer, "norm.weight", {d_model});
  weights.require(layer, "mixer.dt_bias", {c.n_heads});
  if (!has_d_of_channels(weights, layer, d_inner))
    weights.require_per_head(layer_name(layer, "mixer.D"), c.n_heads);
  c.gated_norm = weights.find(layer, "mixer.norm.weight") != nullptr;
  if (c.gated_norm) weights.require_gated_norm(layer, d_inner);
  return c;
}

int64_t scratch_floats(const Mamba2Config& c) noexcept { return row_stride(in_proj_rows(c)); }

PlaneOffsets add_planes(StateLayout& layout, const Mamba2Config& c, int64_t layer) {
  const auto index = static_cast<int32_t>(layer);
  return {.conv = layout.add(index, "conv", c.d_conv - 1, c.conv_dim()),
          .ssm = layout.add(index, "ssm", c.n_heads * c.d_state, c.head_dim)};
}

std::unique_ptr<Mixer> load_mixer(Loader& loader, const Mamba2Config& config, int64_t layer,
                                  int64_t d_model) {
  return std::make_unique<Mamba2>(loader, config, layer, d_model);
}

}  // namespace krait
