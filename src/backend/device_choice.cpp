#include "src/backend/device_choice.h"

#include <algorithm>
#include <charconv>

#include "krait/error.h"

namespace krait {
namespace {

using cuda::Gpu, cuda::GpuList, cuda::GpuSupport;

constexpr int32_t kLeastMajor = 8;  // Ampere: bf16 products, copies in the background

std::string version(int32_t number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

bool is_usable(const Gpu& gpu) noexcept { return gpu.major >= kLeastMajor; }

std::string too_old(const Gpu& gpu) {
  return gpu.name + " has compute capability " + std::to_string(gpu.major) + "." +
         std::to_string(gpu.minor) + "; expected 8.0 or higher";
}

// Why no GPU can be used, whatever its number, and what to do about it; empty where one can.
struct Obstacle {
  std::string why, remedy;
};
Obstacle obstacle(const GpuList& list) {
  switch (list.support) {
    case GpuSupport::not_built:
      return {"this krait was built without CUDA (no nvcc was found)",
              "install the CUDA Toolkit and build again, or "};
    case GpuSupport::no_driver: return {"there is no NVIDIA driver", "install one, or "};
    case GpuSupport::old_driver:
      return {"the NVIDIA driver supports CUDA " + version(list.driver) + ", expected " +
                  version(list.needed) + " or newer",
              "update the driver, or "};
    case GpuSupport::failed: return {"the NVIDIA driver does not answer: " + list.error, ""};
    case GpuSupport::available: break;
  }
  if (list.gpus.empty()) return {"the NVIDIA driver knows no GPU", ""};
  if (std::none_of(list.gpus.begin(), list.gpus.end(), is_usable))
    return {too_old(list.gpus.front()), ""};
  return {};
}

int32_t first_usable(const GpuList& list) {
  const auto gpu = std::find_if(list.gpus.begin(), list.gpus.end(), is_usable);
  return static_cast<int32_t>(gpu - list.gpus.begin());
}

// The N of cuda:N; -1 where it is none.
int64_t number_of(const std::string& device) {
  const char *begin = device.data() + std::string("cuda:").size(),
             *end = device.data() + device.size();
  int64_t number = -1;
  const auto [rest, error] = std::from_chars(begin, end, number);
  return error == std::errc() && rest == end ? number : -1;
}

DeviceChoice choose_gpu(const std::string& device, const GpuList& list) {
  const auto refuse = [&](const std::string& why) {
    throw InputError("--device " + device + ": " + why);
  };
  const auto [why, remedy] = obstacle(list);
  if (!why.empty() && (device == "cuda" || list.gpus.empty()))
    refuse(why + "; " + remedy + "use --device cpu");
  if (device == "cuda") return {.gpu = first_usable(list), .note = {}};
  const int64_t number = number_of(device);
  const auto count = std::ssize(list.gpus);
  if (number < 0 || number >= count)
    refuse("expected a number from 0 to " + std::to_string(count - 1) + ": there " +
           (count == 1 ? "is one GPU" : "are " + std::to_string(count) + " GPUs"));
  const Gpu& gpu = list.gpus[static_cast<size_t>(number)];
  if (!is_usable(gpu)) refuse(too_old(gpu) + "; use another device");
  return {.gpu = static_cast<int32_t>(number), .note = {}};
}

}  // namespace

DeviceChoice choose_device(const std::string& device, const GpuList& list) {
  if (device == "cpu") return {};
  if (device == "cuda" || device.starts_with("cuda:")) return choose_gpu(device, list);
  if (device != "auto") throw InputError("--device " + device + ": expected auto, cpu or cuda[:N]");
  const std::string why = obstacle(list).why;
  if (why.empty()) return {.gpu = first_usable(list), .note = {}};
  const bool present = list.support == GpuSupport::old_driver ||
                       list.support == GpuSupport::failed || !list.gpus.empty();
  return {.gpu = {}, .note = "no GPU is used: " + why, .unused_gpu = present};
}

}  // namespace krait
