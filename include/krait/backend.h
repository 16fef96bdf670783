// The contract between the mathematics (models/) and the machines (src/backend): a small set of
// SSM-sized operations. Not a tensor library and not a graph: a model's page calls these in order.
//
// Shapes are written [rows, cols], row-major; T is the number of packed tokens of a step. All
// activations, accumulations and states are float32; a product may round the activations it reads
// (BackendOptions::act). Every operation gives, for each row, a result
// that does not depend on the other rows, on how tokens were grouped into calls, or on the number
// of threads: bit for bit on the CPU.
//
// Thread safety: info() may be called by any thread, and so may loading (matrix, vector) while no
// operation runs; all else, making and freeing buffers and drawings included, is for one thread at
// a time (Engine::mutex()). Backends know nothing of one another. Operations may be asynchronous:
// only read_* and synchronize wait. Errors: shapes are the caller's invariants (checked by
// KRAIT_CHECK); out of memory is Failure.
//
// To add a backend: implement every pure function below, add it to make_backend, and run the
// backend tests (tests/backend), which take any Backend and hold it against kernels/reference.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "krait/dtype.h"
#include "krait/profile.h"
#include "krait/state.h"
#include "krait/tensor.h"

namespace krait {

// A weight matrix [rows, cols] in the backend's memory and packing. y = W x, W[row, col].
class Matrix {
 public:
  virtual ~Matrix() = default;
  int64_t rows = 0;  // output features
  int64_t cols = 0;  // input features
  DType dtype = DType::f32;
  int64_t bytes = 0;  // bytes that one product reads
};

// float32 parameters that stay exact: norm weights, biases, A, D, convolution taps.
class Vector {
 public:
  virtual ~Vector() = default;
  int64_t size = 0;
};

// Float32 memory for activations or states, zeroed at creation.
class Buffer {
 public:
  virtual ~Buffer() = default;
  float* data = nullptr;  // in the backend's memory: the host may read it only on the CPU backend
  int64_t size = 0;       // floats
};

// Floats from row to row where memory is laid out for rows of so many: an odd number of cache
// lines, because rows that lie a power of two apart would drive each other out of the cache.
constexpr int64_t row_stride(int64_t cols) noexcept {
  constexpr int64_t kLine = 16;
  return ((cols + kLine - 1) / kLine | 1) * kLine;
}

// A window [rows, cols] into a Buffer; row r starts at data + r * stride. Not owning.
struct Rows {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  // Columns [first, first + count).
  Rows columns(int64_t first, int64_t count) const noexcept {
    return {data + first, rows, count, stride};
  }
  // Rows [first, first + count).
  Rows slice(int64_t first, int64_t count) const noexcept {
    return {data + first * stride, count, cols, stride};
  }
};

// A run of consecutive tokens of one sequence inside a packed step.
struct Segment {
  int32_t slot = 0;   // the sequence's place in the state pool
  int32_t begin = 0;  // first row in the packed activations
  int32_t length = 0;
};

// States of all slots: slot s of a plane starts at data + s * slot_stride + plane offset.
struct StateView {
  float* data = nullptr;
  int64_t slot_stride = 0;  // floats
};

// What the causal convolution of one layer needs. Taps [d_conv, channels] (tap d_conv-1 multiplies
// the current token), bias [channels] or null.
struct ConvWeights {
  const Vector* taps = nullptr;
  const Vector* bias = nullptr;
  int32_t d_conv = 0;
};

// Parameters of the Mamba-1 selective scan: A = -exp(A_log) laid out [d_state, d_inner].
struct ScanWeights {
  const Vector* a = nullptr;
  const Vector* d = nullptr;        // D [d_inner]
  const Vector* dt_bias = nullptr;  // [d_inner]
  int32_t d_state = 0;
};

// Parameters of the Mamba-2 scan. The channels of x are n_heads heads of equal size; B and C come
// in n_groups groups, each shared by n_heads / n_groups consecutive heads.
struct SsdWeights {
  const Vector* a = nullptr;           // -exp(A_log) [n_heads]
  const Vector* d = nullptr;           // D of every channel [d_inner]
  const Vector* dt_bias = nullptr;     // [n_heads]
  float dt_min = 0.0f, dt_max = 0.0f;  // limits of dt, after softplus
  int32_t n_heads = 0, n_groups = 0, d_state = 0;
};

// Parameters of the S4D scan: `pairs` complex modes a channel, which stand for as many conjugate
// pairs. Both are [2 * pairs, d_inner], as the state: the real parts of all modes, then the
// imaginary parts. `c` is what each of these numbers of the state adds to the output.
struct S4dWeights {
  const Vector* decay = nullptr;  // exp(dt A)
  const Vector* c = nullptr;
  const Vector* d = nullptr;  // D [d_inner]
  int32_t pairs = 0;
};

// A residual block whose mixer a backend may run as one: residual[t, :] += mixer(norm(residual[t,
// :])), with the norm of Backend::rms_norm and the operations that the mixer's own page calls, in
// its scratch memory. The same bits as operation by operation.
struct BlockStep {
  std::span<const Segment> segments;
  Rows residual;
  const Vector* norm = nullptr;
  float norm_eps = 0;
  StateView conv_state, ssm_state;
};
struct Mamba1Step {
  BlockStep block;
  const Matrix *in_proj = nullptr, *x_proj = nullptr, *dt_proj = nullptr, *out_proj = nullptr;
  const Vector *in_bias = nullptr, *out_bias = nullptr;  // or null
  ConvWeights conv;
  ScanWeights scan;
  const float* dt_b_c_eps = nullptr;  // Falcon-Mamba's norms of dt, B and C; null: none
  Rows xz;                            // [T, 2 d_inner]
  Rows dt_b_c;                        // [T, dt_rank + 2 d_state]
};
struct Mamba2Step {
  BlockStep block;
  const Matrix *in_proj = nullptr, *out_proj = nullptr;
  const Vector *in_bias = nullptr, *out_bias = nullptr;  // or null
  ConvWeights conv;
  SsdWeights scan;
  bool gated_norm = false, norm_before_gate = false;
  const Vector* gate_norm = nullptr;
  float gate_norm_eps = 0;
  Rows zxbcdt;  // [T, 2 d_inner + 2 n_groups d_state + n_heads]
};

struct DeviceInfo {
  std::string name;             // "cpu", "cuda:0"
  std::string detail;           // "AMD EPYC", the processor or GPU
  std::string isa;              // instruction set of the kernels that run: "avx512"
  int32_t threads = 1;          // host threads that an operation is split over; 0: none, a GPU
  DType act = DType::f32;       // what activations are rounded to for products with bf16 weights
  int32_t prefill_tokens = 64;  // tokens of a prompt that are best fed at once
  std::string note;  // why `auto` found no GPU (unless told to `warn`), or what slows one down
};

// How much more memory a device can give.
struct MemoryLeft {
  int64_t bytes = std::numeric_limits<int64_t>::max();  // 0 or more; where nothing is known, all
  std::string limit;  // what sets it, for messages: "the memory available"
};

// How the next tokens of a sequence are drawn where a device does it: as krait/sampler.h says,
// without bias, penalties and typical_p.
struct Draw {
  uint64_t seed = 0;
  uint64_t sequence = 0;
  uint64_t position = 0;  // of the token drawn next
  float temperature = 1;  // above 0
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  int32_t top_k = 1;      // 1: the likeliest token; at most Drawing::kMostTopK, else below vocab
};

// Tokens that a device draws, each from a row of logits, without the host waiting for them.
class Drawing {
 public:
  static constexpr int32_t kMostTopK = 256;
  static constexpr int64_t kMostAhead =
      64;  // draws that may be issued before the first is waited for

  virtual ~Drawing() = default;

  // From now on row r of the logits is drawn from as draws[r] says, at one position after another.
  // `ids`: those that a chained step (Step::chain) feeds first; not needed by other steps.
  virtual void start(std::span<const Draw> draws, std::span<const int32_t> ids) = 0;

  // Waits for the n-th draw since start(), n from 0, one of the last kMostAhead: an id for every
  // row. Negative: the logits cannot be sampled, for what Sampler throws Failure.
  virtual void wait(int64_t n, std::span<int32_t> ids) = 0;
};

// What tells the steps of a model apart.
struct StepKey {
  uint64_t workspace = 0;  // a number that no other workspace ever had: the step's activations
  std::span<const int32_t> ids;
  std::span<const Segment> segments;
  std::span<const int32_t> logit_rows;
  StateView states;
  Drawing* chain = nullptr;  // see Step
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceInfo info() const = 0;

  // ---- memory -----------------------------------------------------------------------------
  // Converts to `type` and packs. `tensor` is [rows, cols] with rows >= 1, cols >= 1 of a float or
  // block type; blocks already of `type` are kept as they are. `name` is for messages.
  virtual std::unique_ptr<Matrix> matrix(const Tensor& tensor, DType type,
                                         const std::string& name) = 0;
  virtual std::unique_ptr<Vector> vector(std::span<const float> values) = 0;
  virtual std::unique_ptr<Buffer> buffer(int64_t floats) = 0;
  // What matrix() takes for one of that size, and how much more can be taken.
  virtual int64_t matrix_bytes(int64_t rows, int64_t cols, DType type) const = 0;
  virtual MemoryLeft memory_left() const = 0;
  virtual void read(const float* device, std::span<float> host) = 0;
  virtual void write(std::span<const float> host, float* device) = 0;
  virtual void zero(float* device, int64_t floats) = 0;
  virtual void copy(const float* from, float* to, int64_t floats) = 0;  // device to device
  virtual void synchronize() = 0;

  // ---- steps ------------------------------------------------------------------------------
  // A model calls these around the operations of one step, which are the same, in the same memory,
  // for every step of a workspace and its states with as many tokens, segments and logits. A
  // backend may record them. begin_step() true: all of them have been issued already; the step is
  // over, without end_step(). end_step() false: none of them was run; the step begins again.
  virtual bool begin_step(const StepKey&) { return false; }
  virtual bool end_step() { return true; }

  // For logits of up to `rows` rows, of which the first `vocab` columns may be drawn. Null where
  // the host is to do it. Ends before the backend.
  virtual std::unique_ptr<Drawing> drawing(int32_t rows, int32_t vocab) {
    static_cast<void>(rows), static_cast<void>(vocab);
    return nullptr;
  }
  // Draws from each of the rows, as many as were started; `drawing` is of this backend.
  virtual void draw(Rows logits, Drawing& drawing) {
    static_cast<void>(logits), static_cast<void>(drawing);
  }

  // ---- stack ------------------------------------------------------------------------------
  // out[t, :] = table[ids[t], :]. Ids are in [0, table.rows). In a chained step not `ids`, but what
  // its Drawing holds.
  virtual void embed(const Matrix& table, std::span<const int32_t> ids, Rows out) = 0;

  // out[t, :] = x[t, :] * (mean(x[t, :]^2) + eps)^-1/2 (* weight, unless null). Each of `groups`
  // equal slices of the columns has its own mean. x and out may be the same rows.
  virtual void rms_norm(Rows x, const Vector* weight, int32_t groups, float eps, Rows out) = 0;

  // out[t, :] = W x[t, :] (+ bias). With `accumulate`, out[t, :] += W x[t, :] (+ bias): the
  // residual stream. out may not overlap x.
  virtual void linear(const Matrix& w, const Vector* bias, Rows x, Rows out, bool accumulate) = 0;

  // ---- state-space mixers -----------------------------------------------------------------
  // Causal depthwise convolution, then SiLU, over each segment; `state` is the plane
  // [d_conv-1, channels] of that slot, read as the inputs before the segment and left holding the
  // last d_conv-1 inputs. x and out may be the same rows.
  virtual void causal_conv(const ConvWeights& w, std::span<const Segment> segments, StateView state,
                           Rows x, Rows out) = 0;

  // Mamba-1 selective scan, one pass over each segment in time order (Mamba paper, algorithm 2;
  // selective_scan_ref in state-spaces/mamba). Per token t and channel c:
  //   dt   = softplus(dt[t,c] + dt_bias[c])
  //   h[n] = exp(dt * A[n,c]) * h[n] + dt * B[t,n] * x[t,c]
  //   y    = (sum_n h[n] * C[t,n] + D[c] * x[t,c]) * silu(z[t,c])
  // `state` is the plane [d_state, d_inner]. out may be the same rows as x, dt or z.
  virtual void selective_scan(const ScanWeights& w, std::span<const Segment> segments,
                              StateView state, Rows x, Rows dt, Rows b, Rows c, Rows z,
                              Rows out) = 0;

  // Mamba-2 scan, the recurrence in time order (selective_state_update_ref in state-spaces/mamba).
  // Per token t, head e with its group g and channel p of the head:
  //   dt   = clamp(softplus(dt[t,e] + dt_bias[e]), dt_min, dt_max)
  //   h[n] = exp(dt * A[e]) * h[n] + dt * B[t,g,n] * x[t,e,p]
  //   y    = sum_n h[n] * C[t,g,n] + D[e,p] * x[t,e,p]
  // x and out [T, d_inner], dt [T, n_heads], b and c [T, n_groups * d_state]. `state` is the plane
  // [n_heads * d_state, d_inner / n_heads]. out may be the same rows as x.
  virtual void ssd_scan(const SsdWeights& w, std::span<const Segment> segments, StateView state,
                        Rows x, Rows dt, Rows b, Rows c, Rows out) = 0;

  // Scan of a mixer whose recurrence does not depend on the input (S4D), one pass over each segment
  // in time order. Per token t, channel c and mode p, in complex numbers:
  //   h[p] = decay[p,c] * h[p] + x[t,c]
  //   y    = (sum_p (c_re[p,c] * Re h[p] + c_im[p,c] * Im h[p]) + D[c] * x[t,c]) * silu(z[t,c])
  // `state` is the plane [2 * pairs, d_inner]. out may be the same rows as x or z.
  virtual void s4d_scan(const S4dWeights& w, std::span<const Segment> segments, StateView state,
                        Rows x, Rows z, Rows out) = 0;

  // out[t, :] = x[t, :] * silu(z[t, :]). out may be the same rows as x or z.
  virtual void gate(Rows x, Rows z, Rows out) = 0;

  // ---- fused steps ------------------------------------------------------------------------
  // True: the block has been run. False, with nothing done, where the backend has no such kernel
  // for what it is given: the mixer then calls the operations above.
  virtual bool mamba1_step(const Mamba1Step&) { return false; }
  virtual bool mamba2_step(const Mamba2Step&) { return false; }

  // ---- measuring --------------------------------------------------------------------------
  // Multiply-adds per second that the arithmetic units reach on operands in registers, in the
  // arithmetic of products with weights of `type`: the roof of prefill. Takes some 50 ms.
  virtual double peak_multiply_adds(DType type) = 0;

  // Bytes per second that can be read from the memory that weights lie in: the roof of decode, best
  // of several passes.
  virtual double read_bandwidth() = 0;
};

struct BackendOptions {
  std::string device = "auto";   // auto | cpu | cuda[:N]
  std::string cpu_isa = "auto";  // auto | scalar | avx2 | avx512 | avx512vnni | avx512bf16
  int32_t threads = 0;           // 0: the cores this process may use
  DType act = DType::f32;        // f32 | bf16: activations of products with bf16 weights
  Profile* profile = nullptr;    // told of every operation, where given
  // Told when `auto` passes by a GPU that is there.
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

// Throws InputError for a device or instruction set this build or machine does not have, saying
// what is missing.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace krait
