#include "src/backend/profiled_backend.h"

#include <unordered_map>

#include "src/base/clock.h"

namespace krait {

void Profile::add(std::string_view name, double ms, double weight_bytes, double multiply_adds) {
  auto stage = stages_.begin();
  while (stage != stages_.end() && stage->name != name) ++stage;
  if (stage == stages_.end()) stage = stages_.insert(stage, Stage{std::string(name)});
  ++stage->calls;
  stage->ms += ms;
  stage->weight_bytes += weight_bytes;
  stage->multiply_adds += multiply_adds;
}

namespace {

// "layers.3.mixer.in_proj.weight" -> "in_proj"; the embedding's product is the head.
std::string stage_name(const std::string& tensor) {
  for (const char* part : {"embedding", "embd", "lm_head"})
    if (tensor.find(part) != std::string::npos) return "head";
  const size_t end = tensor.rfind('.');
  if (end == std::string::npos || end == 0) return tensor;
  const size_t dot = tensor.rfind('.', end - 1);
  const size_t begin = dot == std::string::npos ? 0 : dot + 1;
  return tensor.substr(begin, end - begin);
}

class ProfiledBackend final : public Backend {
 public:
  ProfiledBackend(std::unique_ptr<Backend> inner, Profile& profile)
      : inner_(std::move(inner)), profile_(profile) {}

  DeviceInfo info() const override { return inner_->info(); }

  std::unique_ptr<Matrix> matrix(const Tensor& tensor, DType type,
                                 const std::string& name) override {
    auto m = inner_->matrix(tensor, type, name);
    names_[m.get()] = stage_name(name);
    return m;
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override {
    return inner_->vector(values);
  }
  int64_t matrix_bytes(int64_t rows, int64_t cols, DType type) const override {
    return inner_->matrix_bytes(rows, cols, type);
  }
  MemoryLeft memory_left() const override { return inner_->memory_left(); }
  std::unique_ptr<Buffer> buffer(int64_t floats) override { return inner_->buffer(floats); }
  void read(const float* device, std::span<float> host) override {
    timed("read", [&] { inner_->read(device, host); });
  }
  void write(std::span<const float> host, float* device) override {
    timed("write", [&] { inner_->write(host, device); });
  }
  void zero(float* device, int64_t floats) override {
    timed("zero", [&] { inner_->zero(device, floats); });
  }
  void copy(const float* from, float* to, int64_t floats) override {
    timed("copy", [&] { inner_->copy(from, to, floats); });
  }
  void synchronize() override { inner_->synchronize(); }
  double peak_multiply_adds(DType type) override { return inner_->peak_multiply_adds(type); }
  double read_bandwidth() override { return inner_->read_bandwidth(); }

  void embed(const Matrix& table, std::span<const int32_t> ids, Rows out) override {
    timed("embed", [&] { inner_->embed(table, ids, out); });
  }
  void rms_norm(Rows x, const Vector* weight, int32_t groups, float eps, Rows out) override {
    timed("norm", [&] { inner_->rms_norm(x, weight, groups, eps, out); });
  }
  void linear(const Matrix& w, const Vector* bias, Rows x, Rows out, bool accumulate) override {
    const double size = static_cast<double>(w.rows) * static_cast<double>(w.cols);
    timed(
        names_.at(&w), [&] { inner_->linear(w, bias, x, out, accumulate); },
        static_cast<double>(w.bytes), size * static_cast<double>(x.rows));
  }
  void causal_conv(const ConvWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                   Rows out) override {
    timed("conv", [&] { inner_->causal_conv(w, segments, state, x, out); });
  }
  void selective_scan(const ScanWeights& w, std::span<const Segment> segments, StateView state,
                      Rows x, Rows dt, Rows b, Rows c, Rows z, Rows out) override {
    timed("scan", [&] { inner_->selective_scan(w, segments, state, x, dt, b, c, z, out); });
  }
  void ssd_scan(const SsdWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                Rows dt, Rows b, Rows c, Rows out) override {
    timed("scan", [&] { inner_->ssd_scan(w, segments, state, x, dt, b, c, out); });
  }
  void s4d_scan(const S4dWeights& w, std::span<const Segment> segments, StateView state, Rows x,
                Rows z, Rows out) override {
    timed("scan", [&] { inner_->s4d_scan(w, segments, state, x, z, out); });
  }
  void gate(Rows x, Rows z, Rows out) override {
    timed("gate", [&] { inner_->gate(x, z, out); });
  }

 private:
  template <class Operation>
  void timed(std::string_view name, Operation&& operation, double weight_bytes = 0,
             double multiply_adds = 0) {
    const Stopwatch watch;
    operation();
    inner_->synchronize();
    profile_.add(name, watch.ms(), weight_bytes, multiply_adds);
  }

  std::unique_ptr<Backend> inner_;
  Profile& profile_;
  std::unordered_map<const Matrix*, std::string> names_;
};

}  // namespace

std::unique_ptr<Backend> make_profiled_backend(std::unique_ptr<Backend> backend, Profile& profile) {
  return std::make_unique<ProfiledBackend>(std::move(backend), profile);
}

}  // namespace krait
