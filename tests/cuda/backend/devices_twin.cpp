// The CUDA backend on the twin of its kernels: emulated, without a GPU.
#include "kernels/cuda/twin/twin.h"
#include "src/backend/cuda/cuda_backend.h"
#include "tests/backend/support.h"

namespace krait::test {
namespace {

// Every kernel begins before the one ahead of it: one that does not wait for it gives other
// results.
const bool overlaps = [] {
  cuda::twin::Options options;
  options.overlap = true;
  cuda::twin::set_options(options);
  return true;
}();

}  // namespace

std::vector<Device> devices() {
  Device twin;
  twin.name = "twin";
  twin.make = [](int threads, DType act) { return make_cuda_backend(0, threads, act); };
  twin.split_error = 1e-5;
  twin.q6_k_as_bytes = true;
  twin.emulated = true;
  return {twin};
}

}  // namespace krait::test
