// Chooses the backend for `--device`.
#include "krait/backend.h"
#include "krait/error.h"
#include "src/backend/cpu/cpu_backend.h"
#include "src/backend/profiled_backend.h"

namespace krait {
namespace {

[[noreturn]] void no_cuda(const std::string& device) {
#ifdef KRAIT_CUDA_TOOLKIT
  throw InputError("--device " + device +
                   ": this version of krait has no CUDA backend yet; use --device cpu");
#else
  throw InputError("--device " + device +
                   ": this krait was built without CUDA (no nvcc was found); install the CUDA "
                   "Toolkit and build again, or use --device cpu");
#endif
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  const std::string& device = options.device;
  if (device == "cuda" || device.starts_with("cuda:")) no_cuda(device);
  if (device != "auto" && device != "cpu")
    throw InputError("--device " + device + ": expected auto, cpu or cuda[:N]");
  auto backend = make_cpu_backend(options.cpu_isa, options.threads, options.act);
  if (!options.profile) return backend;
  return make_profiled_backend(std::move(backend), *options.profile);
}

}  // namespace krait
