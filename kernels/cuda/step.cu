// Fused steps of the mixers, from the parts of step_parts.h.
#include "kernels/cuda/step.h"
#include "kernels/cuda/product_few.h"
#include "kernels/cuda/step_parts.h"

namespace krait::cuda {
namespace {

// Of a block, so that two fit on a multiprocessor; beyond, the separate operations are better.
constexpr size_t kMostShared = size_t{100} << 10;
constexpr int kMostColumns = 16;
constexpr int kMostWarps = 16;

constexpr int parts_of(Format format, bool round) {
  return format == Format::f32 ? 3 : format == Format::bf16 && round ? 1 : 2;
}

template <class Source>
bool fits(const Weights& w, bool round, int tokens, const Source& source) noexcept {
  const int parts = parts_of(w.format, round);
  return tokens * columns_per_token(parts) <= kMostColumns &&
         few_shared_bytes<3>(w, tokens, source, kMostWarps, 2) <= kMostShared;
}

// Calls work<F, Parts> for the format.
template <class Work>
void with_format(Format format, bool round, Work&& work) noexcept {
  switch (format) {
    case Format::f32: return work.template operator()<Format::f32, 3>();
    case Format::f16: return work.template operator()<Format::f16, 2>();
    case Format::bf16:
      return round ? work.template operator()<Format::bf16, 1>()
                   : work.template operator()<Format::bf16, 2>();
    case Format::q8_0: return work.template operator()<Format::q8_0, 2>();
    case Format::q4_0: return work.template operator()<Format::q4_0, 2>();
    case Format::q4_k: return work.template operator()<Format::q4_k, 2>();
    case Format::q6_k: return work.template operator()<Format::q6_k, 2>();
  }
}

template <class Source, class Sink>
void fused_product(Stream stream, const Weights& w, bool round, int tokens, const Source& source,
                   const Sink& sink, int tiles_per_block = 0) noexcept {
  with_format(w.format, round, [&]<Format F, int Parts>() {
    if (tokens * columns_per_token(Parts) <= 8)
      few_product<F, Parts, 1>(stream, w, tokens, source, sink, tiles_per_block);
    else
      few_product<F, Parts, 2>(stream, w, tokens, source, sink, tiles_per_block);
  });
}

NormedSource normed(const BlockStep& block) noexcept {
  NormedSource source;
  source.x = block.residual;
  source.norm = block.norm;
  source.groups = 1;
  source.eps = block.norm_eps;
  source.cols = block.d_model;
  return source;
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
  if (s.scan.segments.count != tokens || !fits(s.in_proj, round, tokens, in) ||
      !fits(s.x_proj, round, tokens, conv_out) || !fits(s.dt_proj, round, tokens, dt) ||
      !fits(s.out_proj, round, tokens, y))
    return false;
  fused_product(stream, s.in_proj, round, tokens, in, ConvSink{s.conv, 0, s.in_bias, s.xz});
  fused_product(stream, s.x_proj, round, tokens, conv_out, PlainSink{nullptr, s.dt_b_c, false});
  fused_product(stream, s.dt_proj, round, tokens, dt, ScanSink{s.scan}, 2);
  fused_product(stream, s.out_proj, round, tokens, y,
                PlainSink{s.out_bias, s.block.residual, true});
  return true;
}

bool mamba2_step(Stream stream, const Mamba2Step& s) noexcept {
  const int tokens = s.ssd.segments.tokens;
  const bool round = s.block.round;
  const int32_t d_inner = s.ssd.n_heads * s.ssd.head_dim;
  const NormedSource in = normed(s.block);
  NormedSource y;
  y.x = s.ssd.out;
  y.z = s.zxbcdt;  // z is its first columns
  y.gate_first = !s.norm_before_gate;
  y.norm = s.gate_norm;
  y.groups = s.gated_norm ? s.ssd.n_groups : 0;
  y.eps = s.gate_norm_eps;
  y.cols = d_inner;
  if (s.ssd.segments.count != tokens || !fits(s.in_proj, round, tokens, in) ||
      !fits(s.out_proj, round, tokens, y))
    return false;
  fused_product(stream, s.in_proj, round, tokens, in,
                ConvSink{s.conv, d_inner, s.in_bias, s.zxbcdt});
  ssd_scan(stream, s.ssd);
  fused_product(stream, s.out_proj, round, tokens, y,
                PlainSink{s.out_bias, s.block.residual, true});
  return true;
}

}  // namespace krait::cuda
