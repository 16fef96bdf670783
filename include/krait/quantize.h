// Writing a model as a GGUF file, its matrices in a smaller type.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "krait/engine.h"

namespace krait {

struct QuantizeOptions {
  // Of the matrices: f32, f16, bf16, q8_0, q4_0, q4_k or q6_k. Where a matrix cannot have it, or
  // would lose too much, it gets a finer one (models/weight_policy.h). Everything else is float32.
  DType type = DType::q8_0;
  const std::atomic<bool>* interrupt = nullptr;  // set by Ctrl-C; checked between pieces
  // Called now and then by the calling thread; both in bytes of the weights read.
  std::function<void(int64_t done, int64_t total)> on_progress = nullptr;
};

struct QuantizeResult {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes_before = 0;  // of the weights, without what surrounds them in the files
  int64_t bytes_after = 0;
  std::map<std::string, int64_t> bytes_by_dtype;  // of those after, by the type's name
};

// Converts the model that `open` names to the GGUF file `out`, which llama.cpp loads too: the same
// tensors, metadata and tokenizer as its converter writes, and the keys of krait's own where the
// format lacks one (models/config_gguf.h). `open.backend.threads` threads work; memory stays within
// some ten megabytes beyond the mapped checkpoint. `out` appears, or is replaced, only with the
// whole file.
//
// Returns nothing when interrupted. Throws InputError for a type out of the list, for a model that
// GGUF cannot describe, for weights too large for the type, and for an `out` that is part of the
// model or does not end in ".gguf"; Failure when writing fails.
std::optional<QuantizeResult> quantize(const OpenOptions& open, const std::string& out,
                                       const QuantizeOptions& options);

}  // namespace krait
