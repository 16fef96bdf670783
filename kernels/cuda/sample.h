// Choosing the next token on the device, as src/sampling/sampler.cpp does on the host: the same
// steps in the same order, so that both choose the same id from the same logits. (Where exp() of
// doubles rounds differently, a draw that falls within such a rounding may differ.)
#pragma once

#include <cstdint>

#include "kernels/cuda/kernels.h"

namespace krait::cuda {

// The most candidates that a draw can be among.
inline constexpr int32_t kMostTopK = 256;

// How a row's next id is drawn, and where its sequence stands: in device memory, so that a recorded
// step draws at one position after another without being told.
struct Draw {
  uint64_t seed = 0;
  uint64_t sequence = 0;
  uint64_t position = 0;  // of the id drawn next; counted up by every draw
  float temperature = 1;  // above 0
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  int32_t top_k = 1;      // 1: the likeliest id; else at most kMostTopK, and fewer than vocab
  uint32_t drawn = 0;     // ids so far; counted up by every draw
  int32_t unused = 0;
};

// What stands in place of an id that cannot be drawn.
inline constexpr int32_t kNotANumber = -1;   // a logit is NaN or +inf
inline constexpr int32_t kNoCandidate = -2;  // all logits are -inf

struct Sample {
  krait::cuda::Rows logits;
  int32_t rows = 0;
  int32_t vocab = 0;       // at least 1; what lies behind is not looked at
  Draw* draws = nullptr;   // [rows]
  int32_t* ids = nullptr;  // [rows]: the ids drawn; 0 where none can be, for the next step to feed
  // Host memory that the device writes, or null: draw n (from 0) of row r is the word at
  // r * ring_length + n % ring_length, n + 1 in its high half and the id in the low one. Being one
  // word it is there whole or not at all.
  uint64_t* ring = nullptr;
  uint32_t ring_length = 0;
};
void sample(Stream stream, const Sample& s) noexcept;

}  // namespace krait::cuda
