// The state of a sequence, as data. A mixer publishes named planes; everything that stores, copies,
// saves or forks a state works on the layout alone and never learns which mixer it holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "krait/dtype.h"

namespace krait {

// One plane of one layer: a dense float32 array, zero at the start of a sequence.
//   Mamba-1: conv [d_conv-1, d_inner] pre-activation inputs, oldest row first
//            ssm  [d_state, d_inner]
//   Mamba-2: conv [d_conv-1, d_inner + 2 n_groups d_state], the same of x, B and C side by side
//            ssm  [n_heads * d_state, head_dim], row e * d_state + n for state n of head e
//   S4D:     as Mamba-1; ssm holds the real parts of all modes, then the imaginary parts
// (channel fastest in all: the vector lane of the CPU, the thread of the GPU).
struct StatePlane {
  std::string name;  // "conv", "ssm"
  int32_t layer = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t offset = 0;  // in floats, from the start of a slot

  int64_t elements() const noexcept { return rows * cols; }
};

// How the planes of all layers lie in one slot: one contiguous block, so that saving, forking and
// rolling back a sequence is one copy.
class StateLayout {
 public:
  // Appends a plane and returns its offset in floats. Planes start on 64-byte boundaries.
  int64_t add(int32_t layer, std::string name, int64_t rows, int64_t cols);

  const std::vector<StatePlane>& planes() const noexcept { return planes_; }
  int64_t floats_per_slot() const noexcept { return floats_; }
  int64_t bytes_per_slot() const noexcept { return floats_ * static_cast<int64_t>(sizeof(float)); }

 private:
  std::vector<StatePlane> planes_;
  int64_t floats_ = 0;
};

// Everything a model knows of a sequence. Lies in host memory and refers to no engine.
struct SequenceState {
  int64_t position = 0;       // tokens fed
  std::vector<int32_t> ids;   // those tokens, in order; empty where the session keeps none
  std::vector<float> planes;  // one slot, laid out as the model's StateLayout says
  std::vector<float> logits;  // after the last token, [embedding_rows]; empty where there are none
};

// A sequence as it was at one moment: an immutable value, never null. Copies share one state, so
// that undo lists, forks and branches of a chat may hold as many as they like: each costs what its
// state takes (a few megabytes whatever the position, and four bytes per token).
using Snapshot = std::shared_ptr<const SequenceState>;

// A snapshot and what else a later process needs to go on exactly as if it had never stopped. The
// draw for the next token is uniform_at(seed, sequence, snapshot->position).
struct SavedState {
  Snapshot snapshot;
  uint64_t seed = 0;
  uint64_t sequence = 0;
  DType weights = DType::f32;  // of the model that computed it: with others the text may differ
  std::string notes = {};      // whatever else its writer wants back, such as a chat's messages
};

}  // namespace krait
