// Where work is queued.
#pragma once

namespace krait::cuda {

// A queue of work that runs in order: a cudaStream_t; on the twin nothing.
using Stream = struct StreamHandle*;

}  // namespace krait::cuda
