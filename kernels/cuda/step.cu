// Fused steps of the mixers, from the parts of step_parts.h.
#include "kernels/cuda/product_few.h"
#include "kernels/cuda/step.h"
#include "kernels/cuda/step_parts.h"
#include "kernels/cuda/with_format.h"

namespace krait::cuda {
namespace {

constexpr int kScanTiles = 2;  // row tiles of a block of dt_proj

template <class Source, class Sink>
bool fits(const Weights& w, bool round, int tokens, const Source& source, const Sink& sink,
          int tiles_per_block = 0) noexcept {
  bool fits = false;
  with_format(w.format, round, [&]<Format F, int Parts>() {
    fits = few_fits<F, Parts>(w, tokens, source, sink, tiles_per_block);
  });
  return fits;
}

template <class Source, class Sink>
void fused_product(Stream stream, const Weights& w, bool round, int tokens, const Source& source,
                   const Sink& sink, int tiles_per_block = 0) noexcept {
  with_format(w.format, round, [&]<Format F, int Parts>() {
    few_product<F, Parts>(stream, w, tokens, source, sink, tiles_per_block);
  });
}

NormedSource normed(const BlockStep& block) noexcept {
  return {input_rows(block.residual), block.norm, block.norm_eps, block.d_model};
}

}  // namespace

bool mamba1_step(Stream stream, const Mamba1Step& s) noexcept {
  const int tokens = s.scan.segments.tokens;
  const bool round = s.block.round;
  const int32_t dt_rank = s.dt_proj.cols;
  const NormedSource in = normed(s.block);
  const PlainSource conv_out = plain_source(s.conv.out, s.x_proj.cols);
  const DtSource dt{s.dt_b_c, dt_rank, s.scan.d_state, s.dt_b_c_eps};
  const PlainSource y = plain_source(s.scan.out, s.out_proj.cols);
  const ConvSink conv{s.conv, 0, s.in_bias, s.xz};
  const PlainSink low{nullptr, s.dt_b_c, false};
  const ScanSink scan{s.scan};
  const PlainSink out{s.out_bias, s.block.residual, true};
  if (s.scan.segments.count != tokens || s.scan.d_state > kScanParts * ScanSink::kStates ||
      !fits(s.in_proj, round, tokens, in, conv) || !fits(s.x_proj, round, tokens, conv_out, low) ||
      !fits(s.dt_proj, round, tokens, dt, scan, kScanTiles) ||
      !fits(s.out_proj, round, tokens, y, out))
    return false;
  fused_product(stream, s.in_proj, round, tokens, in, conv);
  fused_product(stream, s.x_proj, round, tokens, conv_out, low);
  fused_product(stream, s.dt_proj, round, tokens, dt, scan, kScanTiles);
  fused_product(stream, s.out_proj, round, tokens, y, out);
  return true;
}

bool mamba2_step(Stream stream, const Mamba2Step& s) noexcept {
  const int tokens = s.ssd.segments.tokens;
  const bool round = s.block.round;
  const int32_t d_inner = s.ssd.n_heads * s.ssd.head_dim;
  const NormedSource in = normed(s.block);
  GatedSource y;
  y.y = s.ssd.out;
  y.z = s.zxbcdt;  // z is its first columns
  y.gate_first = !s.norm_before_gate;
  y.norm = s.gate_norm;
  y.groups = s.gated_norm ? s.ssd.n_groups : 0;
  y.eps = s.gate_norm_eps;
  y.cols = d_inner;
  const ConvSink conv{s.conv, d_inner, s.in_bias, s.zxbcdt};
  const PlainSink out{s.out_bias, s.block.residual, true};
  if (s.ssd.segments.count != tokens || !fits(s.in_proj, round, tokens, in, conv) ||
      !fits(s.out_proj, round, tokens, y, out))
    return false;
  fused_product(stream, s.in_proj, round, tokens, in, conv);
  ssd_scan(stream, s.ssd);
  fused_product(stream, s.out_proj, round, tokens, y, out);
  return true;
}

}  // namespace krait::cuda
