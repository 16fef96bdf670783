#include "models/s4d.h"

#include <cmath>
#include <complex>

#include "krait/error.h"

namespace krait {
namespace {

class S4d final : public Mixer {
 public:
  S4d(Loader& loader, const S4dConfig& config, int64_t layer, int64_t d_model);

  int64_t scratch_floats() const noexcept override { return krait::scratch_floats(config_); }

  bool step(Backend&, const BlockNorm&, std::span<const Segment>, StateView, Rows,
            Scratch) const override {
    return false;  // no backend has a fused step
  }
  void forward(Backend& backend, std::span<const Segment> segments, StateView states, Rows u,
               Rows residual, Scratch scratch) const override;

 private:
  S4dWeights scan() const noexcept {
    return {decay_.get(), c_.get(), d_.get(), static_cast<int32_t>(config_.d_state / 2)};
  }
  void convolve(std::span<const Segment> segments, StateView ssm_state, Rows x) const;

  S4dConfig config_;
  S4dModes modes_;
  std::unique_ptr<Matrix> in_proj_, out_proj_;
  std::unique_ptr<Vector> in_bias_, out_bias_, decay_, c_, d_;
  Conv conv_;
  PlaneOffsets planes_;
};

// The page. The comments on the right name the line of S4DMixer.forward.
void S4d::forward(Backend& backend, std::span<const Segment> segments, StateView states, Rows u,
                  Rows residual, Scratch scratch) const {
  const int64_t d_inner = config_.d_inner;
  const Rows xz = scratch.take(2 * d_inner);
  const Rows x = xz.columns(0, d_inner), z = xz.columns(d_inner, d_inner);
  const StateView conv_state = plane_at(states, planes_.conv);
  const StateView ssm_state = plane_at(states, planes_.ssm);

  backend.linear(*in_proj_, in_bias_.get(), u, xz, false);           // x, z = in_proj(hidden)
  backend.causal_conv(conv_.weights(), segments, conv_state, x, x);  // u = silu(conv1d(x))
  if (config_.convolves) {
    convolve(segments, ssm_state, x);  // y = K * u + carried(u)
    backend.gate(x, z, x);             // y * silu(z)
  } else {
    backend.s4d_scan(scan(), segments, ssm_state, x, z, x);  // the same, and the gate
  }
  backend.linear(*out_proj_, out_bias_.get(), x, residual, true);  // residual += out_proj(y)
}

void S4d::convolve(std::span<const Segment> segments, StateView ssm_state, Rows x) const {
  for (const Segment& segment : segments)
    s4d_convolve(modes_, ssm_state.data + segment.slot * ssm_state.slot_stride,
                 x.data + segment.begin * x.stride, x.stride, segment.length);
}

S4d::S4d(Loader& loader, const S4dConfig& config, int64_t layer, int64_t d_model)
    : config_(config) {
  const int64_t d_inner = config.d_inner, pairs = config.d_state / 2;
  const auto name = [&](const char* part) { return layer_name(layer, part); };
  in_proj_ = loader.matrix(name("mixer.in_proj.weight"), {2 * d_inner, d_model});
  in_bias_ = loader.optional_vector(name("mixer.in_proj.bias"), {2 * d_inner});
  out_proj_ = loader.matrix(name("mixer.out_proj.weight"), {d_model, d_inner});
  out_bias_ = loader.optional_vector(name("mixer.out_proj.bias"), {d_model});
  conv_ = load_conv(loader, layer, d_inner, config.d_conv);
  modes_ = s4d_modes({loader.values(name("mixer.log_dt"), {d_inner}),
                      loader.values(name("mixer.log_A_real"), {d_inner, pairs}),
                      loader.values(name("mixer.A_imag"), {d_inner, pairs}),
                      loader.values(name("mixer.C"), {d_inner, pairs, 2}),
                      loader.values(name("mixer.D"), {d_inner})},
                     d_inner, pairs);
  decay_ = loader.vector(modes_.decay);
  c_ = loader.vector(modes_.c);
  d_ = loader.vector(modes_.d);
  planes_ = add_planes(loader.layout, config, layer);
}

}  // namespace

int64_t scratch_floats(const S4dConfig& c) noexcept { return row_stride(2 * c.d_inner); }

S4dModes s4d_modes(const S4dParameters& parameters, int64_t d_inner, int64_t pairs) {
  S4dModes modes{d_inner, pairs, {}, {}, parameters.d};
  modes.decay.resize(2 * d_inner * pairs);
  modes.c.resize(modes.decay.size());
  for (int64_t channel = 0; channel < d_inner; ++channel) {
    const double dt = std::exp(double{parameters.log_dt[channel]});
    for (int64_t p = 0; p < pairs; ++p) {
      const int64_t from = channel * pairs + p, re = p * d_inner + channel,
                    im = re + pairs * d_inner;
      const std::complex<double> a(-std::exp(double{parameters.log_a_real[from]}),
                                   parameters.a_imag[from]);
      const std::complex<double> decay = std::exp(dt * a);
      const std::complex<double> hold = a == 0.0 ? dt : (decay - 1.0) / a;
      const std::complex<double> c =
          2.0 * hold * std::complex<double>(parameters.c[2 * from], parameters.c[2 * from + 1]);
      modes.decay[re] = static_cast<float>(decay.real());
      modes.decay[im] = static_cast<float>(decay.imag());
      modes.c[re] = static_cast<float>(c.real());  // Re(c h) = Re c Re h - Im c Im h
      modes.c[im] = static_cast<float>(-c.imag());
    }
  }
  return modes;
}

S4dConfig s4d_config(const Weights& weights, int64_t layer, int64_t d_model) {
  const Tensor& a = weights.require(layer, "mixer.log_A_real", {-1, -1});
  S4dConfig c;
  c.d_inner = a.shape[0];
  const int64_t pairs = a.shape[1];
  c.d_state = 2 * pairs;
  c.d_conv = weights.require_conv(layer, c.d_inner, -1).shape.back();
  const std::string where =
      weights.checkpoint().source() + ": layer " + std::to_string(layer) + ": ";
  require_range(where + "d_inner", c.d_inner, kMaxInner);
  require_range(where + "d_conv", c.d_conv, kMaxConv);
  require_range(where + "half of d_state", pairs, kMaxState / 2);
  weights.require(layer, "norm.weight", {d_model});
  weights.require(layer, "mixer.in_proj.weight", {2 * c.d_inner, d_model});
  weights.require(layer, "mixer.log_dt", {c.d_inner});
  weights.require(layer, "mixer.A_imag", {c.d_inner, pairs});
  weights.require(layer, "mixer.C", {c.d_inner, pairs, 2});
  weights.require(layer, "mixer.D", {c.d_inner});
  weights.require(layer, "mixer.out_proj.weight", {d_model, c.d_inner});
  return c;
}

PlaneOffsets add_planes(StateLayout& layout, const S4dConfig& c, int64_t layer) {
  const auto index = static_cast<int32_t>(layer);
  return {.conv = layout.add(index, "conv", c.d_conv - 1, c.d_inner),
          .ssm = layout.add(index, "ssm", c.d_state, c.d_inner)};
}

std::unique_ptr<Mixer> load_mixer(Loader& loader, const S4dConfig& config, int64_t layer,
                                  int64_t d_model) {
  return std::make_unique<S4d>(loader, config, layer, d_model);
}

}  // namespace krait
