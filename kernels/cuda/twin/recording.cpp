#include "kernels/cuda/twin/recording.h"

namespace krait::cuda::twin {

constinit thread_local Work* recording = nullptr;
constinit thread_local bool refuse_graphs = false;

}  // namespace krait::cuda::twin
