#include "models/mamba1.h"

#include "krait/error.h"

namespace krait {
namespace {

class Mamba1 final : public Mixer {
 public:
  Mamba1(Loader& loader, const Mamba1Config& config, int64_t layer, int64_t d_model);

  int64_t scratch_floats() const noexcept override { return krait::scratch_floats(config_); }

  bool step(Backend& backend, const BlockNorm& norm, std::span<const Segment> segments,
            StateView states, Rows residual, Scratch scratch) const override;
  void forward(Backend& backend, std::span<const Segment> segments, StateView states, Rows u,
               Rows residual, Scratch scratch) const override;

 private:
  ScanWeights scan() const noexcept {
    return {a_.get(), d_.get(), dt_bias_.get(), static_cast<int32_t>(config_.d_state)};
  }

  Mamba1Config config_;
  std::unique_ptr<Matrix> in_proj_, x_proj_, dt_proj_, out_proj_;
  std::unique_ptr<Vector> in_bias_, out_bias_, a_, d_, dt_bias_;
  Conv conv_;
  PlaneOffsets planes_;
};

// The page. Line numbers are those of algorithm 2 in the paper; the comments on the right name the
// line of MambaMixer.slow_forward.
void Mamba1::forward(Backend& backend, std::span<const Segment> segments, StateView states, Rows u,
                     Rows residual, Scratch scratch) const {
  const auto [d_inner, d_state, d_conv, dt_rank, rms_eps] = config_;
  const Rows xz = scratch.take(2 * d_inner);
  const Rows x = xz.columns(0, d_inner), z = xz.columns(d_inner, d_inner);
  const Rows dt_b_c = scratch.take(dt_rank + 2 * d_state);
  const Rows dt_low = dt_b_c.columns(0, dt_rank);
  const Rows b = dt_b_c.columns(dt_rank, d_state), c = dt_b_c.columns(dt_rank + d_state, d_state);
  const Rows dt = scratch.take(d_inner);

  const StateView conv_state = plane_at(states, planes_.conv);
  const StateView ssm_state = plane_at(states, planes_.ssm);

  backend.linear(*in_proj_, in_bias_.get(), u, xz, false);           // x, z = in_proj(u)
  backend.causal_conv(conv_.weights(), segments, conv_state, x, x);  // x = silu(conv1d(x))
  backend.linear(*x_proj_, nullptr, x, dt_b_c, false);               // dt, B, C = x_proj(x)
  if (rms_eps)  // Falcon-Mamba: dt, B, C = rms_norm(dt), rms_norm(B), rms_norm(C)
    for (const Rows& part : {dt_low, b, c}) backend.rms_norm(part, nullptr, 1, *rms_eps, part);
  backend.linear(*dt_proj_, nullptr, dt_low, dt, false);  // dt = dt_proj(dt), bias in the scan
  backend.selective_scan(scan(), segments, ssm_state, x, dt, b, c, z, x);  // y = SSM(A,B,C,dt)(x)
  backend.linear(*out_proj_, out_bias_.get(), x, residual, true);  // residual += out_proj(y)
}

bool Mamba1::step(Backend& backend, const BlockNorm& norm, std::span<const Segment> segments,
                  StateView states, Rows residual, Scratch scratch) const {
  Mamba1Step step;
  step.block = block_step(norm, segments, states, planes_, residual);
  step.in_proj = in_proj_.get();
  step.x_proj = x_proj_.get();
  step.dt_proj = dt_proj_.get();
  step.out_proj = out_proj_.get();
  step.in_bias = in_bias_.get();
  step.out_bias = out_bias_.get();
  step.conv = conv_.weights();
  step.scan = scan();
  step.dt_b_c_eps = config_.dt_b_c_rms_eps ? &*config_.dt_b_c_rms_eps : nullptr;
  step.xz = scratch.take(2 * config_.d_inner);
  step.dt_b_c = scratch.take(config_.dt_rank + 2 * config_.d_state);
  return backend.mamba1_step(step);
}

Mamba1::Mamba1(Loader& loader, const Mamba1Config& config, int64_t layer, int64_t d_model)
    : config_(config) {
  const auto [d_inner, d_state, d_conv, dt_rank, rms_eps] = config;
  const auto name = [&](const char* part) { return layer_name(layer, part); };
  in_proj_ = loader.matrix(name("mixer.in_proj.weight"), {2 * d_inner, d_model});
  in_bias_ = loader.optional_vector(name("mixer.in_proj.bias"), {2 * d_inner});
  x_proj_ = loader.matrix(name("mixer.x_proj.weight"), {dt_rank + 2 * d_state, d_inner});
  dt_proj_ = loader.matrix(name("mixer.dt_proj.weight"), {d_inner, dt_rank});
  dt_bias_ = loader.vector(name("mixer.dt_proj.bias"), {d_inner});
  out_proj_ = loader.matrix(name("mixer.out_proj.weight"), {d_model, d_inner});
  out_bias_ = loader.optional_vector(name("mixer.out_proj.bias"), {d_model});
  d_ = loader.vector(name("mixer.D"), {d_inner});
  conv_ = load_conv(loader, layer, d_inner, d_conv);
  a_ = loader.vector(transpose(loader.decay(layer, {d_inner, d_state}), d_inner, d_state));
  planes_ = add_planes(loader.layout, config, layer);
}

}  // namespace

Mamba1Config mamba1_config(const Weights& weights, int64_t layer, int64_t d_model) {
  Mamba1Config c;
  const Tensor& a = weights.require(weights.decay_name(layer), {-1, -1});
  c.d_inner = a.shape[0];
  c.d_state = a.shape[1];
  c.d_conv = weights.require_conv(layer, c.d_inner, -1).shape.back();
  c.dt_rank = weights.require(layer, "mixer.dt_proj.weight", {c.d_inner, -1}).shape[1];
  const std::string where =
      weights.checkpoint().source() + ": layer " + std::to_string(layer) + ": ";
  require_range(where + "d_inner", c.d_inner, kMaxInner);
  require_range(where + "dt_rank", c.dt_rank, kMaxInner);
  require_range(where + "d_conv", c.d_conv, kMaxConv);
  require_range(where + "d_state", c.d_state, kMaxState);
  weights.require(layer, "norm.weight", {d_model});
  weights.require(layer, "mixer.in_proj.weight", {2 * c.d_inner, d_model});
  weights.require(layer, "mixer.x_proj.weight", {c.dt_rank + 2 * c.d_state, c.d_inner});
  weights.require(layer, "mixer.dt_proj.bias", {c.d_inner});
  weights.require(layer, "mixer.D", {c.d_inner});
  weights.require(layer, "mixer.out_proj.weight", {d_model, c.d_inner});
  return c;
}

int64_t scratch_floats(const Mamba1Config& c) noexcept {
  return row_stride(2 * c.d_inner) + row_stride(c.dt_rank + 2 * c.d_state) + row_stride(c.d_inner);
}

PlaneOffsets add_planes(StateLayout& layout, const Mamba1Config& c, int64_t layer) {
  const auto index = static_cast<int32_t>(layer);
  return {.conv = layout.add(index, "conv", c.d_conv - 1, c.d_inner),
          .ssm = layout.add(index, "ssm", c.d_state, c.d_inner)};
}

std::unique_ptr<Mixer> load_mixer(Loader& loader, const Mamba1Config& config, int64_t layer,
                                  int64_t d_model) {
  return std::make_unique<Mamba1>(loader, config, layer, d_model);
}

}  // namespace krait
