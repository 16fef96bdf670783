// The CUDA backend on a GPU: the first one that can be used.
#include <cstdio>

#include <gtest/gtest.h>

#include "src/backend/cuda/cuda_backend.h"
#include "src/backend/device_choice.h"
#include "tests/backend/support.h"

namespace krait::test {

std::vector<Device> devices() {
  Device gpu;
  gpu.name = "gpu";
  gpu.make = [](int threads, DType act) {
    const DeviceChoice choice = choose_device("cuda", cuda::list_gpus());
    return make_cuda_backend(*choice.gpu, threads, act);
  };
  gpu.split_error = 1e-5;
  gpu.q6_k_as_bytes = true;
  return {gpu};
}

}  // namespace krait::test

// Where there is no GPU nothing is run, and the last line says SKIPPED.
int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  const krait::DeviceChoice choice = krait::choose_device("auto", krait::cuda::list_gpus());
  if (!choice.gpu && !GTEST_FLAG_GET(list_tests)) {
    std::printf("SKIPPED: %s\n", choice.note.c_str());
    return 0;
  }
  return RUN_ALL_TESTS();
}
