#include "src/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>

#include "krait/error.h"
#include "src/backend/cpu/bandwidth.h"
#include "src/backend/cpu/isa.h"
#include "src/backend/cpu/memory.h"
#include "src/backend/cpu/memory_left.h"
#include "src/backend/cpu/packing.h"
#include "src/backend/cpu/peak.h"
#include "src/base/cpu_info.h"
#include "src/base/thread_pool.h"

namespace krait {
namespace {

constexpr int64_t kLanes = 16;

// Multiply-adds worth handing to another thread; more parts than threads even out their speeds.
constexpr int64_t kPartWork = 48 << 10;
constexpr int64_t kPartsPerThread = 4;

// Multiply-adds that take as long as reading a byte from memory.
constexpr int64_t kWorkPerByte = 2;

// Panels that the product kernel takes at once for one token.
constexpr int64_t kPanelGroup = 2;
// Tokens that it takes at once for one panel, or a multiple of them.
constexpr int64_t kTokenRun = 12;
constexpr int32_t kPrefillTokens = 64;

struct CpuMatrix final : Matrix {
  cpu::Packing packing = cpu::Packing::f32;
  std::shared_ptr<std::byte> panels;
  int64_t panel_count() const noexcept { return cpu::ceil_div(rows, cpu::kPanelRows); }
};

// Followed by zeros, so that kernels may read whole vectors beyond the end.
struct CpuVector final : Vector {
  CpuVector(MemoryPool& pool, std::span<const float> values)
      : memory(pool.take(static_cast<int64_t>(values.size_bytes()) +
                         cpu::kPanelRows * static_cast<int64_t>(sizeof(float)))) {
    size = static_cast<int64_t>(values.size());
    if (size > 0) std::memcpy(memory.get(), values.data(), values.size_bytes());
  }
  const float* data() const noexcept { return reinterpret_cast<const float*>(memory.get()); }
  std::shared_ptr<std::byte> memory;
};

struct CpuBuffer final : Buffer {
  explicit CpuBuffer(int64_t floats) : memory(floats * static_cast<int64_t>(sizeof(float))) {
    data = reinterpret_cast<float*>(memory.data());
    size = floats;
  }
  Memory memory;
};

const CpuMatrix& get(const Matrix& m) noexcept { return static_cast<const CpuMatrix&>(m); }
const float* get(const Vector* v) noexcept {
  return v ? static_cast<const CpuVector*>(v)->data() : nullptr;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(const cpu::Kernels& kernels, int32_t threads, DType act, std::string note)
      : kernels_(kernels), act_(act), note_(std::move(note)), pool_(threads) {}

  DeviceInfo info() const override {
    return {"cpu", cpu_name(), kernels_.isa, pool_.size(), act_, kPrefillTokens, note_};
  }

  std::unique_ptr<Matrix> matrix(const Tensor& tensor, DType type,
                                 const std::string& name) override {
    KRAIT_CHECK(tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0);
    auto m = std::make_unique<CpuMatrix>();
    m->rows = tensor.shape[0];
    m->cols = tensor.shape[1];
    m->dtype = type;
    m->packing = packing_of(type);
    m->bytes = matrix_bytes(m->rows, m->cols, type);
    const std::lock_guard lock(loading_);
    m->panels = weights_.take(m->bytes);
    std::exception_ptr error;
    std::mutex error_lock;
    pool_.split(m->panel_count(), kPartsPerThread * pool_.size(), [&](int64_t first, int64_t last) {
      try {
        pack_panels(tensor, m->packing, first, last, m->panels.get(), name);
      } catch (...) {
        const std::lock_guard lock_error(error_lock);
        error = std::current_exception();
      }
    });
    if (error) std::rethrow_exception(error);
    return m;
  }

  std::unique_ptr<Vector> vector(std::span<const float> values) override {
    const std::lock_guard lock(loading_);
    return std::make_unique<CpuVector>(weights_, values);
  }
  int64_t matrix_bytes(int64_t rows, int64_t cols, DType type) const override {
    return cpu::ceil_div(rows, cpu::kPanelRows) * cpu::panel_bytes(packing_of(type), cols);
  }
  MemoryLeft memory_left() const override { return host_memory_left(); }
  std::unique_ptr<Buffer> buffer(int64_t floats) override {
    return std::make_unique<CpuBuffer>(floats);
  }
  void read(const float* device, std::span<float> host) override {
    if (!host.empty()) std::memcpy(host.data(), device, host.size_bytes());
  }
  void write(std::span<const float> host, float* device) override {
    if (!host.empty()) std::memcpy(device, host.data(), host.size_bytes());
  }
  void zero(float* device, int64_t floats) override { std::fill_n(device, floats, 0.0f); }
  void copy(const float* from, float* to, int64_t floats) override {
    if (floats > 0) std::memmove(to, from, static_cast<size_t>(floats) * sizeof(float));
  }
  void synchronize() override {}

  void embed(const Matrix& table, std::span<const int32_t> ids, Rows out) override {
    const CpuMatrix& m = get(table);
    KRAIT_CHECK(out.cols == m.cols && out.rows == static_cast<int64_t>(ids.size()));
    for (int64_t t = 0; t < out.rows; ++t) {
      KRAIT_CHECK(ids[t] >= 0 && ids[t] < m.rows);
      unpack_row(m.panels.get(), m.packing, m.cols, ids[t], out.data + t * out.stride);
    }
  }

  void rms_norm(Rows x, const Vector* weight, int32_t groups, float eps, Rows out) override {
    KRAIT_CHECK(x.rows == out.rows && x.cols == out.cols && (!weight || weight->size == x.cols));
    KRAIT_CHECK(groups >= 1 && x.cols % groups == 0);
    const int64_t cols = x.cols / groups;
    split(x.rows * groups, x.rows * x.cols, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t t = i / groups, start = i % groups * cols;
        kernels_.rms_norm(x.data + t * x.stride + start, weight ? get(weight) + start : nullptr,
                          eps, cols, out.data + t * out.stride + start);
      }
    });
  }

  void linear(const Matrix& w, const Vector* bias, Rows x, Rows out, bool accumulate) override {
    const CpuMatrix& m = get(w);
    KRAIT_CHECK(x.cols == m.cols && out.cols == m.rows && x.rows == out.rows);
    KRAIT_CHECK(!bias || bias->size == m.rows);
    cpu::Product product;
    product.packing = m.packing;
    product.panels = m.panels.get();
    product.rows = m.rows;
    product.cols = m.cols;
    product.x = x.data;
    product.x_stride = x.stride;
    product.last_token = x.rows;
    product.bias = get(bias);
    product.out = out.data;
    product.out_stride = out.stride;
    product.accumulate = accumulate;
    if (cpu::is_quantised(m.packing)) product.quant = quantize(x);
    if (rounds(m.packing)) product.rounded = round(x);
    // By panels; where there are few of them, by tokens too.
    const int64_t groups = cpu::ceil_div(m.panel_count(), kPanelGroup);
    const int64_t runs = std::min(cpu::ceil_div(kPartsPerThread * pool_.size(), groups),
                                  cpu::ceil_div(x.rows, kTokenRun));
    const int64_t run_tokens = cpu::ceil_div(cpu::ceil_div(x.rows, kTokenRun), runs) * kTokenRun;
    const int64_t work = std::max(m.rows * m.cols * x.rows, m.bytes * kWorkPerByte);
    split(groups * runs, work, [&](int64_t first, int64_t last) {
      while (first < last) {
        const int64_t run = first / groups, begin = first % groups;
        const int64_t end = std::min(groups, begin + last - first);
        cpu::Product part = product;
        part.first_panel = begin * kPanelGroup;
        part.last_panel = std::min(end * kPanelGroup, m.panel_count());
        part.first_token = std::min(run * run_tokens, x.rows);
        part.last_token = std::min(part.first_token + run_tokens, x.rows);
        kernels_.product(part);
        first += end - begin;
      }
    });
  }

  void causal_conv(const ConvWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                   Rows out) override {
    KRAIT_CHECK(w.d_conv >= 1 && w.d_conv <= cpu::kMaxConv && x.cols == out.cols);
    KRAIT_CHECK(w.taps->size == w.d_conv * x.cols);
    cpu::Conv conv;
    conv.taps = get(w.taps);
    conv.bias = get(w.bias);
    conv.d_conv = w.d_conv;
    conv.channels = x.cols;
    conv.x_stride = x.stride;
    conv.out_stride = out.stride;
    split_channels(x, w.d_conv, [&](int64_t first, int64_t last) {
      cpu::Conv part = conv;
      part.first = first;
      part.last = last;
      for (const Segment& segment : segments) {
        fetch_next(segments, segment, state, w.d_conv - 1, x.cols, first, last);
        part.state = state.data + segment.slot * state.slot_stride;
        part.x = x.data + segment.begin * x.stride;
        part.out = out.data + segment.begin * out.stride;
        part.tokens = segment.length;
        kernels_.causal_conv(part);
      }
    });
  }

  void selective_scan(const ScanWeights& w, std::span<const Segment> segments, StateView state,
                      Rows x, Rows dt, Rows b, Rows c, Rows z, Rows out) override {
    KRAIT_CHECK(b.cols == w.d_state && c.cols == w.d_state && w.a->size == w.d_state * x.cols);
    KRAIT_CHECK(dt.cols == x.cols && z.cols == x.cols && out.cols == x.cols);
    cpu::Scan scan;
    scan.a = get(w.a);
    scan.d = get(w.d);
    scan.dt_bias = get(w.dt_bias);
    scan.d_state = w.d_state;
    scan.d_inner = x.cols;
    scan.x_stride = x.stride;
    scan.dt_stride = dt.stride;
    scan.b_stride = b.stride;
    scan.c_stride = c.stride;
    scan.z_stride = z.stride;
    scan.out_stride = out.stride;
    split_channels(x, 8 * w.d_state, [&](int64_t first, int64_t last) {
      cpu::Scan part = scan;
      part.first = first;
      part.last = last;
      for (const Segment& segment : segments) {
        const int64_t row = segment.begin;
        fetch_next(segments, segment, state, w.d_state, x.cols, first, last);
        part.state = state.data + segment.slot * state.slot_stride;
        part.x = x.data + row * x.stride;
        part.dt = dt.data + row * dt.stride;
        part.b = b.data + row * b.stride;
        part.c = c.data + row * c.stride;
        part.z = z.data + row * z.stride;
        part.out = out.data + row * out.stride;
        part.tokens = segment.length;
        kernels_.selective_scan(part);
      }
    });
  }

  void ssd_scan(const SsdWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                Rows dt, Rows b, Rows c, Rows out) override {
    KRAIT_CHECK(w.n_groups >= 1 && w.n_heads % w.n_groups == 0 && x.cols % w.n_heads == 0);
    KRAIT_CHECK(dt.cols == w.n_heads && w.a->size == w.n_heads && w.dt_bias->size == w.n_heads);
    KRAIT_CHECK(b.cols == w.n_groups * w.d_state && c.cols == b.cols);
    KRAIT_CHECK(out.cols == x.cols && w.d->size == x.cols);
    cpu::SsdScan scan;
    scan.a = get(w.a);
    scan.d = get(w.d);
    scan.dt_bias = get(w.dt_bias);
    scan.dt_min = w.dt_min;
    scan.dt_max = w.dt_max;
    scan.head_dim = x.cols / w.n_heads;
    scan.d_state = w.d_state;
    scan.heads_per_group = w.n_heads / w.n_groups;
    scan.x_stride = x.stride;
    scan.dt_stride = dt.stride;
    scan.b_stride = b.stride;
    scan.c_stride = c.stride;
    scan.out_stride = out.stride;
    split(w.n_heads, 2 * x.rows * x.cols * w.d_state, [&](int64_t first, int64_t last) {
      cpu::SsdScan part = scan;
      part.first = first;
      part.last = last;
      for (const Segment& segment : segments) {
        const int64_t row = segment.begin;
        part.state = state.data + segment.slot * state.slot_stride;
        part.x = x.data + row * x.stride;
        part.dt = dt.data + row * dt.stride;
        part.b = b.data + row * b.stride;
        part.c = c.data + row * c.stride;
        part.out = out.data + row * out.stride;
        part.tokens = segment.length;
        kernels_.ssd_scan(part);
      }
    });
  }

  void s4d_scan(const S4dWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                Rows z, Rows out) override {
    KRAIT_CHECK(w.decay->size == 2 * w.pairs * x.cols && w.c->size == w.decay->size);
    KRAIT_CHECK(w.d->size == x.cols && z.cols == x.cols && out.cols == x.cols);
    split_channels(x, 8 * w.pairs, [&](int64_t first, int64_t last) {
      for (const auto& [slot, row, tokens] : segments)
        kernels_.s4d_scan({get(w.decay), get(w.c), get(w.d), w.pairs, x.cols, first, last,
                           state.data + slot * state.slot_stride, x.data + row * x.stride,
                           z.data + row * z.stride, out.data + row * out.stride, x.stride, z.stride,
                           out.stride, tokens});
    });
  }

  void gate(Rows x, Rows z, Rows out) override {
    KRAIT_CHECK(x.rows == z.rows && x.cols == z.cols && x.rows == out.rows && x.cols == out.cols);
    split_channels(x, 8, [&](int64_t first, int64_t last) {
      for (int64_t t = 0; t < x.rows; ++t)
        kernels_.gate(x.data + t * x.stride + first, z.data + t * z.stride + first, last - first,
                      out.data + t * out.stride + first);
    });
  }

  double peak_multiply_adds(DType type) override {
    const cpu::Packing packing = packing_of(type);
    const Arithmetic arithmetic = cpu::is_quantised(packing) ? Arithmetic::int8
                                  : rounds(packing)          ? Arithmetic::bf16
                                                             : Arithmetic::f32;
    return measure_peak(kernels_, std::min(pool_.size(), usable_cores()), arithmetic);
  }

  double read_bandwidth() override { return measure_read_bandwidth(pool_.size()); }

 private:
  // Ranges of [0, count), as many as `work_size` multiply-adds are worth.
  template <class Work>
  void split(int64_t count, int64_t work_size, Work&& work) {
    pool_.split(count, std::min(work_size / kPartWork, kPartsPerThread * pool_.size()), work);
  }

  // Channels of x in groups of 16 lanes; `cost` is the work per token and channel.
  template <class Work>
  void split_channels(Rows x, int64_t cost, Work&& work) {
    split(cpu::ceil_div(x.cols, kLanes), x.rows * x.cols * cost, [&](int64_t first, int64_t last) {
      work(first * kLanes, std::min(last * kLanes, x.cols));
    });
  }

  // Columns [first, last) of the plane [rows, cols] of the segment after this one, into the cache:
  // of many sequences each has its own, and short of a step there is nothing else to see it coming.
  static void fetch_next(std::span<const Segment> segments, const Segment& segment, StateView state,
                         int64_t rows, int64_t cols, int64_t first, int64_t last) {
    if (&segment == &segments.back()) return;
    const float* plane = state.data + (&segment + 1)->slot * state.slot_stride;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t col = first; col < last; col += kLanes)
        __builtin_prefetch(plane + row * cols + col);
  }

  // The scratch memory of a product, which grows to that of the largest and stays.
  std::byte* scratch(int64_t bytes) {
    if (scratch_.bytes() < bytes) scratch_ = Memory(std::max(bytes, scratch_.bytes() * 2));
    return scratch_.data();
  }

  cpu::QuantRows quantize(Rows x) {
    cpu::QuantRows rows;
    rows.blocks = cpu::ceil_div(x.cols, cpu::kQuantBlock);
    const int64_t scales = x.rows * rows.blocks;
    std::byte* memory = scratch(scales * (cpu::kQuantBlock + 12));
    rows.q = reinterpret_cast<int8_t*>(memory);
    rows.scale = reinterpret_cast<float*>(memory + scales * cpu::kQuantBlock);
    rows.sums = reinterpret_cast<int32_t*>(rows.scale + scales);
    split(x.rows, x.rows * x.cols, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t)
        kernels_.quantize_row(x.data + t * x.stride, x.cols, t, rows);
    });
    return rows;
  }

  // Whether activations are rounded for products with such weights.
  bool rounds(cpu::Packing packing) const noexcept {
    return packing == cpu::Packing::bf16 && act_ == DType::bf16;
  }

  cpu::RoundedRows round(Rows x) {
    cpu::RoundedRows rows;
    rows.stride = 2 * row_stride(cpu::ceil_div(x.cols, 2));  // two to a float
    rows.x = reinterpret_cast<uint16_t*>(
        scratch(x.rows * rows.stride * static_cast<int64_t>(sizeof(uint16_t))));
    split(x.rows, x.rows * x.cols, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t)
        kernels_.round_row(x.data + t * x.stride, x.cols, t, rows);
    });
    return rows;
  }

  const cpu::Kernels& kernels_;
  const DType act_;
  const std::string note_;
  ThreadPool pool_;
  std::mutex loading_;
  MemoryPool weights_;
  Memory scratch_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int32_t threads, DType act,
                                          std::string note) {
  return std::make_unique<CpuBackend>(select_kernels(isa), threads, act, std::move(note));
}

}  // namespace krait
