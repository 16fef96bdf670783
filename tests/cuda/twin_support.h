#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/launch.h"

namespace krait::cuda {

// Kernels of any body on the twin, whose errors are kept. A test fails that leaves one.
class TwinTest : public testing::Test {
 protected:
  TwinTest() {
    options_.keep_errors = true;
    options_.most_switches = 3000000;
    use_seed(1);
  }
  ~TwinTest() override {
    EXPECT_EQ(twin::take_error(), "");
    twin::set_options({});
  }

  void use_seed(uint64_t seed) {
    options_.seed = seed;
    twin::set_options(options_);
  }

  // A body that sees to wait_for_predecessor() itself.
  struct Bare {
    static constexpr int kThreads = 512;
    static constexpr int kMinBlocks = 1;
    const std::function<void()>* body;
    void operator()() const { (*body)(); }
  };
  static void run_bare(const Shape& shape, const std::function<void()>& body) {
    launch(nullptr, shape, Bare{&body});
  }
  static void run(const Shape& shape, const std::function<void()>& body) {
    run_bare(shape, [&] {
      wait_for_predecessor();
      body();
    });
  }
  // The error that the body leads to.
  static std::string error_of(const Shape& shape, const std::function<void()>& body) {
    run(shape, body);
    return twin::take_error();
  }

  static float* shared_floats() { return reinterpret_cast<float*>(shared_memory()); }

  twin::Options options_;
};

}  // namespace krait::cuda
