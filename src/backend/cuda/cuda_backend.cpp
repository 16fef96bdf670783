#include "src/backend/cuda/cuda_backend.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/step.h"
#include "krait/error.h"
#include "src/backend/cuda/arguments.h"
#include "src/backend/cuda/drawing.h"
#include "src/backend/cuda/measure.h"
#include "src/backend/cuda/memory.h"
#include "src/backend/cuda/packing.h"
#include "src/backend/cuda/step_graphs.h"
#include "src/backend/cuda/step_inputs.h"

namespace krait {
namespace {

using namespace cuda;
using krait::Rows, krait::Segment;

constexpr int32_t kPrefillTokens = 2048;
constexpr int64_t kReadBytes = int64_t{1} << 20;  // of a piece, while the one before is copied

constexpr int64_t bytes_of(int64_t floats) noexcept {
  return floats * static_cast<int64_t>(sizeof(float));
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(int32_t device, int32_t threads, DType act)
      : device_(device),
        act_(act),
        gpu_(list_gpus().gpus.at(static_cast<size_t>(device))),
        stream_owner_((use_device(device), make_stream())),
        loader_(stream_owner_.get(), threads),
        inputs_(stream_owner_.get()),
        graphs_(stream_owner_.get(), inputs_) {
    for (Piece& piece : read_pieces_) piece = {allocate_pinned(kReadBytes), make_event()};
  }
  ~CudaBackend() override {
    try {
      synchronize();
    } catch (const Failure&) {  // nobody waits for results any more
    }
  }

  DeviceInfo info() const override {
    return {.name = "cuda:" + std::to_string(device_),
            .detail = gpu_.name,
            .isa = "sm_" + std::to_string(gpu_.major) + std::to_string(gpu_.minor),
            .threads = 0,
            .act = act_,
            .prefill_tokens = kPrefillTokens,
            .note = graphs_.failure()};
  }

  // ---- memory -----------------------------------------------------------------------------
  std::unique_ptr<Matrix> matrix(const Tensor& tensor, DType type,
                                 const std::string& name) override {
    use_device(device_);
    return loader_.matrix(tensor, type, name);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override {
    use_device(device_);
    return loader_.vector(values);
  }
  int64_t matrix_bytes(int64_t rows, int64_t cols, DType type) const override {
    const Layout layout = layout_of(format_of(type), rows, cols);
    return layout.weight_bytes() + layout.all_scale_bytes();
  }
  MemoryLeft memory_left() const override {
    use_device(device_);
    return {memory_info().free_bytes, "the free memory of the GPU"};
  }
  std::unique_ptr<Buffer> buffer(int64_t floats) override {
    auto b = std::make_unique<CudaBuffer>();
    const Stream queue = stream();
    b->memory = require_device(bytes_of(floats), "a buffer for activations or states");
    b->data = reinterpret_cast<float*>(b->memory.get());
    b->size = floats;
    fill_zeros(queue, b->data, bytes_of(floats));
    return b;
  }

  void read(const float* device, std::span<float> host) override {
    const Stream queue = stream();
    const auto size = static_cast<int64_t>(host.size_bytes());
    const auto count = (size + kReadBytes - 1) / kReadBytes;
    const auto bytes = [&](int64_t i) { return std::min(kReadBytes, size - i * kReadBytes); };
    const auto begin = [&](int64_t i) {
      const Piece& piece = read_pieces_[i % 2];
      copy_to_host(queue, reinterpret_cast<const std::byte*>(device) + i * kReadBytes,
                   piece.memory.get(), bytes(i));
      record(queue, piece.copied);
    };
    if (count > 0) begin(0);
    for (int64_t i = 0; i < count; ++i) {
      if (i + 1 < count) begin(i + 1);
      const Piece& piece = read_pieces_[i % 2];
      wait(piece.copied);
      std::memcpy(reinterpret_cast<std::byte*>(host.data()) + i * kReadBytes, piece.memory.get(),
                  static_cast<size_t>(bytes(i)));
    }
  }
  void write(std::span<const float> host, float* device) override {
    if (!host.empty())
      copy_to_device(stream(), host.data(), device, static_cast<int64_t>(host.size_bytes()));
  }
  void zero(float* device, int64_t floats) override {
    if (floats > 0) fill_zeros(stream(), device, bytes_of(floats));
  }
  void copy(const float* from, float* to, int64_t floats) override {
    if (floats > 0) copy_on_device(stream(), from, to, bytes_of(floats));
  }
  void synchronize() override { cuda::synchronize(stream()); }

  // ---- steps ------------------------------------------------------------------------------
  bool begin_step(const StepKey& key) override {
    use_device(device_);
    loader_.rest();
    chain_ = static_cast<CudaDrawing*>(key.chain);
    const bool replayed = graphs_.begin(key, chain_ ? chain_->number() : 0);
    if (replayed && chain_) std::exchange(chain_, nullptr)->replayed();
    return replayed;
  }
  bool end_step() override {
    const bool run = graphs_.end();
    if (!run && chain_) chain_->not_run();
    chain_ = nullptr;
    return run;
  }

  std::unique_ptr<Drawing> drawing(int32_t rows, int32_t vocab) override {
    return std::make_unique<CudaDrawing>(device_, stream(), rows, vocab);
  }
  void draw(Rows logits, Drawing& drawing) override {
    use_device(device_);
    static_cast<CudaDrawing&>(drawing).draw(logits);
  }

  // ---- stack ------------------------------------------------------------------------------
  void embed(const Matrix& table, std::span<const int32_t> ids, Rows out) override {
    const CudaMatrix& m = get(table);
    KRAIT_CHECK(out.cols == m.cols && out.rows == static_cast<int64_t>(ids.size()));
    const Stream queue = stream();
    if (chain_) {
      KRAIT_CHECK(chain_->vocab() <= m.rows);
      cuda::embed(queue, m.weights, chain_->ids(), narrow(out.rows), get(out));
      return;
    }
    for (const int32_t id : ids) KRAIT_CHECK(id >= 0 && id < m.rows);
    graphs_.limit_ids(m.rows);
    if (out.rows > 0) cuda::embed(queue, m.weights, inputs_.ids(ids), narrow(out.rows), get(out));
  }

  void rms_norm(Rows x, const Vector* weight, int32_t groups, float eps, Rows out) override {
    KRAIT_CHECK(x.rows == out.rows && x.cols == out.cols && (!weight || weight->size == x.cols));
    KRAIT_CHECK(groups >= 1 && x.cols % groups == 0);
    if (x.rows > 0)
      cuda::rms_norm(stream(), get(x), get(weight), groups, eps, narrow(x.rows), narrow(x.cols),
                     get(out));
  }

  void linear(const Matrix& w, const Vector* bias, Rows x, Rows out, bool accumulate) override {
    const CudaMatrix& m = get(w);
    KRAIT_CHECK(x.cols == m.cols && out.cols == m.rows && x.rows == out.rows);
    KRAIT_CHECK(!bias || bias->size == m.rows);
    if (x.rows == 0) return;
    const Stream queue = stream();
    Product product;
    product.w = m.weights;
    product.bias = get(bias);
    product.x = get(x);
    product.out = get(out);
    product.tokens = narrow(x.rows);
    product.accumulate = accumulate;
    product.round = m.weights.format == Format::bf16 && act_ == DType::bf16;
    product.scratch = scratch(product_scratch(m.weights, product.tokens, product.round));
    cuda::product(queue, product);
  }

  // ---- state-space mixers -----------------------------------------------------------------
  void causal_conv(const ConvWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                   Rows out) override {
    KRAIT_CHECK(w.d_conv >= 1 && w.d_conv <= kMaxConv && x.cols == out.cols);
    KRAIT_CHECK(w.taps->size == w.d_conv * x.cols);
    if (segments.empty()) return;
    const Stream queue = stream();
    const Conv conv = conv_of(w, segments, state, x, out);
    cuda::causal_conv(queue, conv,
                      scratch(conv_scratch(conv.d_conv, conv.channels, conv.segments.tokens)));
  }

  void selective_scan(const ScanWeights& w, std::span<const Segment> segments, StateView state,
                      Rows x, Rows dt, Rows b, Rows c, Rows z, Rows out) override {
    KRAIT_CHECK(b.cols == w.d_state && c.cols == w.d_state && w.a->size == w.d_state * x.cols);
    KRAIT_CHECK(dt.cols == x.cols && z.cols == x.cols && out.cols == x.cols);
    if (segments.empty()) return;
    const Stream queue = stream();
    Scan scan = scan_of(w, segments, state, x, b, c, z, out);
    scan.dt = get(dt);
    cuda::selective_scan(queue, scan);
  }

  void ssd_scan(const SsdWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                Rows dt, Rows b, Rows c, Rows out) override {
    KRAIT_CHECK(w.n_groups >= 1 && w.n_heads % w.n_groups == 0 && x.cols % w.n_heads == 0);
    KRAIT_CHECK(dt.cols == w.n_heads && w.a->size == w.n_heads && w.dt_bias->size == w.n_heads);
    KRAIT_CHECK(b.cols == int64_t{w.n_groups} * w.d_state && c.cols == b.cols);
    KRAIT_CHECK(out.cols == x.cols && w.d->size == x.cols);
    if (segments.empty()) return;
    const Stream queue = stream();
    cuda::ssd_scan(queue, ssd_of(w, segments, state, x, dt, b, c, out));
  }

  void s4d_scan(const S4dWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                Rows z, Rows out) override {
    KRAIT_CHECK(w.decay->size == 2 * w.pairs * x.cols && w.c->size == w.decay->size);
    KRAIT_CHECK(w.d->size == x.cols && z.cols == x.cols && out.cols == x.cols);
    if (segments.empty()) return;
    const Stream queue = stream();
    cuda::s4d_scan(queue, {get(w.decay), get(w.c), get(w.d), w.pairs, narrow(x.cols),
                           inputs_.segments(segments), get(state), get(x), get(z), get(out)});
  }

  void gate(Rows x, Rows z, Rows out) override {
    KRAIT_CHECK(x.rows == z.rows && x.cols == z.cols && x.rows == out.rows && x.cols == out.cols);
    if (x.rows > 0) cuda::gate(stream(), get(x), get(z), narrow(x.rows), narrow(x.cols), get(out));
  }

  // ---- fused steps ------------------------------------------------------------------------
  bool mamba1_step(const krait::Mamba1Step& s) override {
    const int64_t d_inner = s.conv.taps->size / s.conv.d_conv, d_state = s.scan.d_state;
    const int64_t dt_rank = s.dt_proj->cols;
    const Rows x = s.xz.columns(0, d_inner), z = s.xz.columns(d_inner, d_inner);
    const Rows b = s.dt_b_c.columns(dt_rank, d_state),
               c = s.dt_b_c.columns(dt_rank + d_state, d_state);
    if (!single_tokens(s.block.segments)) return false;
    const Stream queue = stream();
    cuda::Mamba1Step step;
    step.block = block_of(s.block);
    step.in_proj = get(*s.in_proj).weights;
    step.x_proj = get(*s.x_proj).weights;
    step.dt_proj = get(*s.dt_proj).weights;
    step.out_proj = get(*s.out_proj).weights;
    step.in_bias = get(s.in_bias);
    step.out_bias = get(s.out_bias);
    if (s.dt_b_c_eps) step.dt_b_c_eps = *s.dt_b_c_eps;
    step.conv = conv_of(s.conv, s.block.segments, s.block.conv_state, x, x);
    step.scan = scan_of(s.scan, s.block.segments, s.block.ssm_state, x, b, c, z, x);
    step.xz = get(s.xz);
    step.dt_b_c = get(s.dt_b_c);
    return cuda::mamba1_step(queue, step);
  }

  bool mamba2_step(const krait::Mamba2Step& s) override {
    const int64_t conv_dim = s.conv.taps->size / s.conv.d_conv, d_inner = s.scan.d->size;
    const int64_t b_cols = int64_t{s.scan.n_groups} * s.scan.d_state;
    const Rows xbc = s.zxbcdt.columns(d_inner, conv_dim), x = xbc.columns(0, d_inner);
    const Rows b = xbc.columns(d_inner, b_cols), c = xbc.columns(d_inner + b_cols, b_cols);
    const Rows dt = s.zxbcdt.columns(d_inner + conv_dim, s.scan.n_heads);
    if (!single_tokens(s.block.segments)) return false;
    const Stream queue = stream();
    cuda::Mamba2Step step;
    step.block = block_of(s.block);
    step.in_proj = get(*s.in_proj).weights;
    step.out_proj = get(*s.out_proj).weights;
    step.in_bias = get(s.in_bias);
    step.out_bias = get(s.out_bias);
    step.conv = conv_of(s.conv, s.block.segments, s.block.conv_state, xbc, xbc);
    step.ssd = ssd_of(s.scan, s.block.segments, s.block.ssm_state, x, dt, b, c, x);
    step.zxbcdt = get(s.zxbcdt);
    step.gated_norm = s.gated_norm;
    step.norm_before_gate = s.norm_before_gate;
    step.gate_norm = get(s.gate_norm);
    step.gate_norm_eps = s.gate_norm_eps;
    return cuda::mamba2_step(queue, step);
  }

  // ---- measuring --------------------------------------------------------------------------
  double peak_multiply_adds(DType) override { return measure_multiply_adds(stream()); }
  double read_bandwidth() override { return measure_bandwidth(stream()); }

 private:
  static constexpr int32_t kMaxConv = 64;

  // ---- arguments of kernels -----------------------------------------------------------------
  Conv conv_of(const ConvWeights& w, std::span<const Segment> segments, StateView state, Rows x,
               Rows out) {
    Conv conv;
    conv.taps = get(w.taps);
    conv.bias = get(w.bias);
    conv.d_conv = w.d_conv;
    conv.channels = narrow(x.cols);
    conv.segments = inputs_.segments(segments);
    conv.state = get(state);
    conv.x = get(x);
    conv.out = get(out);
    return conv;
  }
  Scan scan_of(const ScanWeights& w, std::span<const Segment> segments, StateView state, Rows x,
               Rows b, Rows c, Rows z, Rows out) {
    Scan scan;
    scan.a = get(w.a);
    scan.d = get(w.d);
    scan.dt_bias = get(w.dt_bias);
    scan.d_state = w.d_state;
    scan.d_inner = narrow(x.cols);
    scan.segments = inputs_.segments(segments);
    scan.state = get(state);
    scan.x = get(x);
    scan.b = get(b);
    scan.c = get(c);
    scan.z = get(z);
    scan.out = get(out);
    return scan;
  }
  Ssd ssd_of(const SsdWeights& w, std::span<const Segment> segments, StateView state, Rows x,
             Rows dt, Rows b, Rows c, Rows out) {
    Ssd ssd;
    ssd.a = get(w.a);
    ssd.d = get(w.d);
    ssd.dt_bias = get(w.dt_bias);
    ssd.dt_min = w.dt_min;
    ssd.dt_max = w.dt_max;
    ssd.n_heads = w.n_heads;
    ssd.n_groups = w.n_groups;
    ssd.d_state = w.d_state;
    ssd.head_dim = narrow(x.cols / w.n_heads);
    ssd.segments = inputs_.segments(segments);
    ssd.state = get(state);
    ssd.x = get(x);
    ssd.dt = get(dt);
    ssd.b = get(b);
    ssd.c = get(c);
    ssd.out = get(out);
    return ssd;
  }
  cuda::BlockStep block_of(const krait::BlockStep& block) const {
    return {get(block.residual), narrow(block.residual.cols), get(block.norm), block.norm_eps,
            act_ == DType::bf16};
  }
  static bool single_tokens(std::span<const Segment> segments) noexcept {
    return !segments.empty() && std::all_of(segments.begin(), segments.end(),
                                            [](const Segment& s) { return s.length == 1; });
  }
  struct Piece {
    PinnedMemory memory;
    Event copied;
  };

  // Every call may come from another thread, for which the device is to be chosen again.
  Stream stream() const {
    use_device(device_);
    return stream_owner_.get();
  }

  // The scratch memory of an operation, which grows to that of the largest and stays.
  std::byte* scratch(int64_t bytes) {
    if (bytes <= scratch_bytes_) return scratch_.get();
    KRAIT_CHECK(!graphs_.recording());  // such a step was issued before, with as much
    cuda::synchronize(stream());
    graphs_.clear();
    scratch_bytes_ = 0;
    scratch_.reset();
    scratch_ = require_device(bytes, "scratch memory of a product");
    scratch_bytes_ = bytes;
    fill_zeros(stream(), scratch_.get(), bytes);
    return scratch_.get();
  }

  const int32_t device_;
  const DType act_;
  const Gpu gpu_;
  OwnStream stream_owner_;
  WeightLoader loader_;
  StepInputs inputs_;
  StepGraphs graphs_;
  CudaDrawing* chain_ = nullptr;  // of the step being issued
  Piece read_pieces_[2];
  DeviceMemory scratch_;
  int64_t scratch_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int32_t device, int32_t threads, DType act) {
  return std::make_unique<CudaBackend>(device, threads, act);
}

}  // namespace krait
