// Chooses the backend for `--device`.
#include "krait/backend.h"
#include "krait/error.h"
#include "src/backend/cpu/cpu_backend.h"
#include "src/backend/cuda/cuda_backend.h"
#include "src/backend/device_choice.h"
#include "src/backend/profiled_backend.h"
#include "src/base/cpu_info.h"

namespace krait {
namespace {

// Threads of the host that were asked for.
int32_t threads_of(const BackendOptions& options) {
  const int32_t available = usable_cores();
  if (options.threads < 0 || options.threads > kMaxThreads)
    throw InputError("--threads " + std::to_string(options.threads) + ": expected 1 to " +
                     std::to_string(kMaxThreads) + ", or 0 for the " + std::to_string(available) +
                     " cores of this machine");
  return options.threads == 0 ? available : options.threads;
}

cuda::GpuList gpus_for(const std::string& device) {
#ifdef KRAIT_CUDA_TOOLKIT
  if (device != "cpu") return cuda::list_gpus();
#endif
  static_cast<void>(device);
  return {};
}

std::unique_ptr<Backend> make_plain_backend(const BackendOptions& options) {
  if (options.act != DType::f32 && options.act != DType::bf16)
    throw InputError("--act " + std::string(dtype_name(options.act)) + ": expected f32 or bf16");
  const int32_t threads = threads_of(options);
  const DeviceChoice choice = choose_device(options.device, gpus_for(options.device));
#ifdef KRAIT_CUDA_TOOLKIT
  if (choice.gpu) return make_cuda_backend(*choice.gpu, threads, options.act);
#endif
  KRAIT_CHECK(!choice.gpu);
  if (choice.unused_gpu) options.warn(choice.note);
  return make_cpu_backend(options.cpu_isa, threads, options.act,
                          choice.unused_gpu ? "" : choice.note);
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  auto backend = make_plain_backend(options);
  if (!options.profile) return backend;
  return make_profiled_backend(std::move(backend), *options.profile);
}

}  // namespace krait
