#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "kernels/reference/reference.h"
#include "krait/backend.h"
#include "tools/long_runs/runs.h"

namespace krait::long_runs {
namespace {

constexpr int64_t kBlock = 100;  // tokens that are run at once
constexpr int64_t kStates = 16, kHeads = 4, kHeadDim = 8, kChannels = kHeads * kHeadDim;

// Uniform in [low, high), the same on every machine.
class Random {
 public:
  float operator()(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * static_cast<float>(state_ >> 40) * 0x1p-24f;
  }
  void fill(std::vector<float>& values, float low, float high) {
    for (float& v : values) v = (*this)(low, high);
  }

 private:
  uint64_t state_ = 1;
};

reference::Array doubles(const std::vector<float>& v) { return {v.begin(), v.end()}; }

// Inputs of a block of tokens. x and B have a mean, so that states are sums, not only noise.
struct Block {
  std::vector<float> x, dt, b, c, z;

  explicit Block(int64_t steps)
      : x(kBlock * kChannels), dt(kBlock * steps), b(kBlock * kStates), c(b.size()), z(x.size()) {}
  void draw(Random& random) {
    random.fill(x, -0.3f, 1), random.fill(dt, -1, 1), random.fill(b, -0.5f, 1);
    random.fill(c, -1, 1), random.fill(z, -4, 4);
  }
};

// The largest error of each value over some time, as a share of its largest magnitude then; of
// these the largest.
class Error {
 public:
  explicit Error(int64_t values) : errors_(static_cast<size_t>(values)), largest_(errors_) {}
  // Rows of values.
  void see(const std::vector<float>& found, const reference::Array& exact) {
    for (size_t i = 0; i < exact.size(); ++i) {
      const size_t at = i % errors_.size();
      errors_[at] =
          std::max(errors_[at], std::isnan(found[i]) ? 1e9 : std::abs(found[i] - exact[i]));
      largest_[at] = std::max(largest_[at], std::abs(exact[i]));
    }
  }
  double take() {
    double worst = 0;
    for (size_t i = 0; i < errors_.size(); ++i) worst = std::max(worst, errors_[i] / largest_[i]);
    *this = Error(std::ssize(errors_));
    return worst;
  }

 private:
  std::vector<double> errors_, largest_;
};

// A recurrence on the backend in float32 and beside it in double precision.
class Recurrence {
 public:
  Recurrence(Backend& backend, int64_t steps)
      : backend_(backend),
        block_(steps),
        x_(backend, block_.x),
        dt_(backend, block_.dt),
        b_(backend, block_.b),
        c_(backend, block_.c),
        z_(backend, block_.z),
        out_(backend, block_.x),
        state_(backend, std::vector<float>(kChannels * kStates)) {}
  virtual ~Recurrence() = default;

  void advance() {
    block_.draw(random_);
    x_.write(block_.x), dt_.write(block_.dt), b_.write(block_.b), c_.write(block_.c);
    z_.write(block_.z);
    const Segment segment{0, 0, kBlock};
    const reference::Array exact = run({&segment, 1}, {state_.data(), kChannels * kStates});
    output_error.see(out_.read(), exact);
    state_error.see(state_in_order(state_.read()), exact_state_);
  }

  Error output_error{kChannels}, state_error{kChannels * kStates};

 protected:
  class Floats {
   public:
    Floats(Backend& backend, const std::vector<float>& like)
        : backend_(backend), buffer_(backend.buffer(std::ssize(like))) {}
    float* data() const { return buffer_->data; }
    Rows rows() const { return {data(), kBlock, buffer_->size / kBlock, buffer_->size / kBlock}; }
    void write(const std::vector<float>& values) { backend_.write(values, data()); }
    std::vector<float> read() const {
      std::vector<float> values(static_cast<size_t>(buffer_->size));
      backend_.read(data(), values);
      return values;
    }

   private:
    Backend& backend_;
    std::unique_ptr<Buffer> buffer_;
  };

  virtual reference::Array run(std::span<const Segment> segments, StateView state) = 0;
  virtual std::vector<float> state_in_order(const std::vector<float>& plane) const = 0;

  Backend& backend_;
  Random random_;
  Block block_;
  Floats x_, dt_, b_, c_, z_, out_, state_;
  reference::Array exact_state_ = reference::Array(kChannels * kStates);
};

// A step size of 0.001 to 0.1, as in training, by channel or head.
std::vector<float> step_biases(int64_t count) {
  std::vector<float> biases;
  for (int64_t i = 0; i < count; ++i) {
    const double dt = 0.001 * std::pow(100.0, static_cast<double>(i) / static_cast<double>(count));
    biases.push_back(static_cast<float>(std::log(std::expm1(dt))));
  }
  return biases;
}

// A = -slowness (n + 1) for state n: a memory of 1000 / slowness steps where the step size is
// 0.001.
class Mamba1 : public Recurrence {
 public:
  Mamba1(Backend& backend, float slowness) : Recurrence(backend, kChannels) {
    std::vector<float> a(kStates * kChannels), exact_a(a.size()), d(kChannels, 0.5f);
    for (int64_t n = 0; n < kStates; ++n)
      for (int64_t ch = 0; ch < kChannels; ++ch)
        a[n * kChannels + ch] = exact_a[ch * kStates + n] = -slowness * static_cast<float>(n + 1);
    const std::vector<float> biases = step_biases(kChannels);
    a_ = backend.vector(a), d_ = backend.vector(d), dt_bias_ = backend.vector(biases);
    in_.a = doubles(exact_a), in_.d = doubles(d), in_.dt_bias = doubles(biases);
    in_.d_inner = kChannels, in_.d_state = kStates;
  }

 private:
  reference::Array run(std::span<const Segment> segments, StateView state) override {
    backend_.selective_scan({a_.get(), d_.get(), dt_bias_.get(), kStates}, segments, state,
                            x_.rows(), dt_.rows(), b_.rows(), c_.rows(), z_.rows(), out_.rows());
    in_.x = doubles(block_.x), in_.dt = doubles(block_.dt), in_.b = doubles(block_.b);
    in_.c = doubles(block_.c), in_.z = doubles(block_.z);
    return reference::selective_scan(in_, exact_state_);
  }
  std::vector<float> state_in_order(const std::vector<float>& plane) const override {
    std::vector<float> state(plane.size());
    for (int64_t n = 0; n < kStates; ++n)
      for (int64_t ch = 0; ch < kChannels; ++ch)
        state[ch * kStates + n] = plane[n * kChannels + ch];
    return state;
  }

  reference::ScanInput in_;
  std::unique_ptr<Vector> a_, d_, dt_bias_;
};

class Mamba2 : public Recurrence {
 public:
  Mamba2(Backend& backend, float slowness) : Recurrence(backend, kHeads) {
    const std::vector<float> a(kHeads, -slowness), d(kChannels, 0.5f), biases = step_biases(kHeads);
    a_ = backend.vector(a), d_ = backend.vector(d), dt_bias_ = backend.vector(biases);
    in_.a = doubles(a), in_.d = doubles(d), in_.dt_bias = doubles(biases);
    in_.n_heads = kHeads, in_.head_dim = kHeadDim, in_.n_groups = 1, in_.d_state = kStates;
    in_.dt_max = std::numeric_limits<double>::infinity();
  }

 private:
  reference::Array run(std::span<const Segment> segments, StateView state) override {
    backend_.ssd_scan({a_.get(), d_.get(), dt_bias_.get(), 0,
                       std::numeric_limits<float>::infinity(), kHeads, 1, kStates},
                      segments, state, x_.rows(), dt_.rows(), b_.rows(), c_.rows(), out_.rows());
    in_.x = doubles(block_.x), in_.dt = doubles(block_.dt), in_.b = doubles(block_.b);
    in_.c = doubles(block_.c);
    return reference::ssd_scan(in_, exact_state_);
  }
  std::vector<float> state_in_order(const std::vector<float>& plane) const override {
    std::vector<float> state(plane.size());
    for (int64_t e = 0; e < kHeads; ++e)
      for (int64_t n = 0; n < kStates; ++n)
        for (int64_t p = 0; p < kHeadDim; ++p)
          state[(e * kHeadDim + p) * kStates + n] = plane[(e * kStates + n) * kHeadDim + p];
    return state;
  }

  reference::SsdInput in_;
  std::unique_ptr<Vector> a_, d_, dt_bias_;
};

// `most`: the largest error that is allowed at any time.
bool steady(const std::string& name, Recurrence& recurrence, int64_t part, double most) {
  std::printf(
      "\n### %s\n\n| steps | error of the output | error of the state |\n"
      "| ---: | ---: | ---: |\n",
      name.c_str());
  std::vector<double> errors;
  for (int i = 1; i <= kParts; ++i) {
    for (int64_t step = 0; step < part; step += kBlock) recurrence.advance();
    const double output = recurrence.output_error.take(), state = recurrence.state_error.take();
    errors.push_back(std::max(output, state));
    std::printf("| %lld | %.2e | %.2e |\n", static_cast<long long>(i * part), output, state);
    std::fflush(stdout);
  }
  const double first = errors[0], last = *std::max_element(errors.end() - 3, errors.end());
  char text[160];
  std::snprintf(text, sizeof text,
                "at most %.1e; in the last three parts %.2f times that of the first", most,
                last / first);
  return check(last <= 2 * first && *std::max_element(errors.begin(), errors.end()) <= most, text);
}

}  // namespace

bool drift(const Options& options) {
  const auto backend = make_backend({"cpu", "auto", 1});
  const int64_t part = std::max(options.part(options.steps), kBlock);
  bool good = true;
  Mamba1 mamba1(*backend, 1);
  good &= steady("Mamba-1, float32 against double, memory of 1,000 steps", mamba1, part, 1e-5);
  Mamba2 mamba2(*backend, 1);
  good &= steady("Mamba-2, float32 against double, memory of 1,000 steps", mamba2, part, 1e-5);
  if (part < 1'000'000) return good;  // these need as long to settle
  Mamba1 slow1(*backend, 0.01f);
  good &= steady("Mamba-1, memory of 100,000 steps", slow1, part, 1e-2);
  Mamba2 slow2(*backend, 0.01f);
  good &= steady("Mamba-2, memory of 100,000 steps", slow2, part, 1e-2);
  return good;
}

}  // namespace krait::long_runs
