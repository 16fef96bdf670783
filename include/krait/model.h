// A loaded model: weights on a backend and the forward pass over packed tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "krait/backend.h"
#include "krait/checkpoint.h"
#include "krait/state.h"

namespace krait {

struct Mamba1Config {
  int64_t d_inner = 0;
  int64_t d_state = 0;
  int64_t d_conv = 0;
  int64_t dt_rank = 0;
  // Falcon-Mamba: dt, B and C are RMS-normalised, without weights, before use.
  std::optional<float> dt_b_c_rms_eps = std::nullopt;
};

// The channels are n_heads heads of head_dim: d_inner in all.
struct Mamba2Config {
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t n_groups = 0;  // of B and C; divides n_heads
  int64_t d_state = 0;
  int64_t d_conv = 0;
  float dt_min = 0.0f;  // limits of the step size, after softplus
  float dt_max = std::numeric_limits<float>::infinity();
  bool gated_norm = true;         // RMSNorm in n_groups groups around the gate; false: gate only
  bool norm_before_gate = false;  // silu(z) * norm(y) instead of norm(silu(z) * y)
  float norm_eps = 1e-5f;         // of the gated norm

  int64_t d_inner() const noexcept { return n_heads * head_dim; }
  int64_t conv_dim() const noexcept { return d_inner() + 2 * n_groups * d_state; }
};

// The time-invariant twin of Mamba-1.
struct S4dConfig {
  int64_t d_inner = 0;
  int64_t d_state = 0;  // conjugate pairs: even
  int64_t d_conv = 0;
  // Each step computes its tokens as one long convolution, on the CPU backend only: rounded
  // otherwise than token by token, and it allocates. Never read from a file.
  bool convolves = false;
};

// One residual block: x + mixer(norm(x)). Hybrids are a list of different mixers.
using LayerConfig = std::variant<Mamba1Config, Mamba2Config, S4dConfig>;

struct ModelConfig {
  std::string architecture;  // "mamba", "falcon_mamba", "mamba2", "s4d"
  int64_t d_model = 0;
  int64_t vocab_size = 0;      // rows that may be sampled (tokenizer size, unpadded)
  int64_t embedding_rows = 0;  // rows stored, padding included
  float norm_eps = 1e-5f;
  bool tied_head = true;
  std::vector<LayerConfig> layers;
};

// The state planes of all layers, as a model of this config keeps them.
StateLayout state_layout(const ModelConfig& config);

using Warn = std::function<void(const std::string&)>;

// Reads the typed config and the layer list; tensor shapes win over config numbers (a harmless
// contradiction is passed to `warn`, any other throws InputError naming both).
ModelConfig read_model_config(const Checkpoint& checkpoint, const Warn& warn);

// One step: tokens of one or more sequences, packed.
struct Step {
  std::span<const int32_t> ids;         // T packed tokens
  std::span<const Segment> segments;    // cover [0, T) in order; no slot twice
  std::span<const int32_t> logit_rows;  // packed rows whose logits are wanted, ascending
  // One token of each sequence, and logits of all: not `ids`, which only tell how many, but what
  // was drawn last; and the next ones are drawn.
  Drawing* chain = nullptr;
};

// Activation memory for steps of up to max_tokens tokens and max_logit_rows logits.
class Workspace {
 public:
  virtual ~Workspace() = default;
};

// Immutable after loading, shared by any number of threads, each with workspaces and states of its
// own; forward() and workspace() are for one thread at a time, as operations of the backend are.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const noexcept = 0;
  virtual const StateLayout& state_layout() const noexcept = 0;

  // Weight bytes read to produce one token.
  virtual int64_t weight_bytes_per_token() const noexcept = 0;
  // Multiply-adds of the matrix products that one token takes; the head's only with logits.
  virtual int64_t multiply_adds_per_token(bool logits) const noexcept = 0;
  virtual int64_t parameter_count() const noexcept = 0;
  // Most common type of the loaded matrices.
  virtual DType weight_dtype() const noexcept = 0;

  virtual std::unique_ptr<Workspace> workspace(int32_t max_tokens,
                                               int32_t max_logit_rows) const = 0;

  // Advances the states of the segments' slots by their tokens. Returns the logits
  // [logit_rows.size(), embedding_rows], in backend memory owned by `workspace`, valid until its
  // next use. Nothing is allocated.
  virtual Rows forward(const Step& step, StateView states, Workspace& workspace) const = 0;

  // Feeds one token to the sequence in slot 0, layer by layer: the first one whose output cannot be
  // normalised, because it or its squares are not finite; -1: the embedding; nullopt: none. To find
  // out why logits are not finite.
  virtual std::optional<int64_t> first_broken_layer(int32_t id, StateView states,
                                                    Workspace& workspace) const = 0;
};

// Bytes of the backend's memory that load_model() will take; a workspace of so many tokens and rows
// of logits. From sizes alone.
int64_t weight_bytes(const Backend& backend, const Checkpoint& checkpoint,
                     const ModelConfig& config, std::optional<DType> dtype);
int64_t workspace_bytes(const ModelConfig& config, int64_t tokens, int64_t logit_rows);

// `dtype`: the type of the weight matrices; nullopt keeps each tensor's own.
std::unique_ptr<Model> load_model(Backend& backend, const Checkpoint& checkpoint,
                                  const ModelConfig& config, std::optional<DType> dtype);

}  // namespace krait
