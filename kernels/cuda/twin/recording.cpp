#include "kernels/cuda/twin/recording.h"

namespace krait::cuda::twin {

constinit thread_local Work* recording = nullptr;

}  // namespace krait::cuda::twin
