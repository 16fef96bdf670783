// Fused steps of the mixers, from the parts of step_parts.h.
#include "kernels/cuda/step.h"
#include "kernels/cuda/step_parts.h"

namespace krait::cuda {
namespace {

constexpr int64_t kMostShared = int64_t{96} << 10;  // bytes of staged activations
constexpr int kMostColumns = 16;

constexpr int parts_of(Format format, bool round) {
  return format == Format::f32 ? 3 : format == Format::bf16 && round ? 1 : 2;
}

bool fits(const Weights& w, bool round, int tokens, int64_t staged) noexcept {
  return tokens * columns_per_token(parts_of(w.format, round)) <= kMostColumns &&
         staged <= kMostShared;
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
                   int64_t source_bytes, const Sink& sink, int tiles_per_block = 0) noexcept {
  with_format(w.format, round, [&]<Format F, int Parts>() {
    if (tokens * columns_per_token(Parts) <= 8)
      few_product<F, Parts, 1>(stream, w, tokens, source, source_bytes, sink, tiles_per_block);
    else
      few_product<F, Parts, 2>(stream, w, tokens, source, source_bytes, sink, tiles_per_block);
  });
}

StagedSource normed(const BlockStep& block, int tokens) noexcept {
  InputRows input;
  input.x = block.residual;
  input.norm = block.norm;
  input.groups = 1;
  input.eps = block.norm_eps;
  input.cols = block.d_model;
  return {input, tokens};
}

void plain_product(Stream stream, const Weights& w, const float* bias, bool round, Rows x, Rows out,
                   int tokens, bool accumulate) noexcept {
  product(stream, {w, bias, x, out, tokens, accumulate, round, nullptr});
}

}  // namespace

bool mamba1_step(Stream stream, const Mamba1Step& s) noexcept {
  const int tokens = s.scan.segments.tokens;
  const bool round = s.block.round;
  const int64_t in_bytes = staged_bytes(s.block.d_model, 1, tokens);
  const int32_t dt_rank = s.dt_proj.cols, low = dt_rank + 2 * s.scan.d_state;
  const int64_t dt_bytes = staged_bytes(low, 1, tokens);
  if (s.scan.segments.count != tokens || s.scan.d_state > kScanParts * ScanSink::kMostStates ||
      !fits(s.in_proj, round, tokens, in_bytes) || !fits(s.x_proj, round, tokens, 0) ||
      !fits(s.dt_proj, round, tokens, dt_bytes) || !fits(s.out_proj, round, tokens, 0))
    return false;
  const ConvSink conv{s.conv, 0, s.in_bias, s.xz};
  fused_product(stream, s.in_proj, round, tokens, normed(s.block, tokens), in_bytes, conv);
  plain_product(stream, s.x_proj, nullptr, round, s.conv.out, s.dt_b_c, tokens, false);
  const DtSource dt{s.dt_b_c, dt_rank, s.scan.d_state, tokens, s.dt_b_c_eps};
  fused_product(stream, s.dt_proj, round, tokens, dt, dt_bytes, ScanSink{s.scan, dt_rank}, 2);
  plain_product(stream, s.out_proj, s.out_bias, round, s.scan.out, s.block.residual, tokens, true);
  return true;
}

bool mamba2_step(Stream stream, const Mamba2Step& s) noexcept {
  const int tokens = s.ssd.segments.tokens;
  const bool round = s.block.round;
  const int32_t d_inner = s.ssd.n_heads * s.ssd.head_dim;
  const int32_t groups = s.gated_norm ? s.ssd.n_groups : 0;
  const int64_t in_bytes = staged_bytes(s.block.d_model, 1, tokens);
  const int64_t out_bytes = staged_bytes(d_inner, groups, tokens);
  if (s.ssd.segments.count != tokens || !fits(s.in_proj, round, tokens, in_bytes) ||
      !fits(s.out_proj, round, tokens, out_bytes))
    return false;
  const ConvSink conv{s.conv, d_inner, s.in_bias, s.zxbcdt};
  fused_product(stream, s.in_proj, round, tokens, normed(s.block, tokens), in_bytes, conv);
  ssd_scan(stream, s.ssd);
  InputRows input;
  input.x = s.ssd.out;
  input.z = s.zxbcdt;  // z is its first columns
  input.gate_first = !s.norm_before_gate;
  input.norm = s.gate_norm;
  input.groups = groups;
  input.eps = s.gate_norm_eps;
  input.cols = d_inner;
  fused_product(stream, s.out_proj, round, tokens, StagedSource{input, tokens}, out_bytes,
                PlainSink{s.out_bias, s.block.residual, true});
  return true;
}

}  // namespace krait::cuda
