// A GPU against the CPU on random models of the shapes that trained ones have, and against itself
// in batches of all sizes.
#include <gtest/gtest.h>

#include "tests/backend/support.h"
#include "tests/models/golden.h"
#include "tests/support/temp_folder.h"
#include "tools/common/random_checkpoint.h"

namespace krait {
namespace {

using test::Decoder, test::ModelRunner, test::relative_error;

const char* name_of(RandomArchitecture architecture) {
  switch (architecture) {
    case RandomArchitecture::falcon_mamba: return "falcon_mamba";
    case RandomArchitecture::mamba2: return "mamba2";
    default: return "mamba";
  }
}

std::vector<int32_t> some_ids(int64_t count, int64_t rows) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * 7919 + 13) % rows));
  return ids;
}

class GpuModelTest : public testing::TestWithParam<RandomArchitecture> {
 protected:
  GpuModelTest() {
    RandomCheckpoint settings;
    settings.architecture = GetParam();
    settings.d_model = 512;
    settings.n_layer = 4;
    if (settings.architecture == RandomArchitecture::mamba2) {
      settings.d_state = 128;
      settings.n_groups = 2;
    }
    settings.vocab_rows = 1000;
    write_random_checkpoint(folder_.path(), settings);
  }
  ModelRunner on(std::unique_ptr<Backend> backend, DType dtype) const {
    return {std::move(backend), open_checkpoint(folder_.path()), dtype};
  }
  ModelRunner on_gpu(DType dtype, DType act = DType::f32) const {
    return on(test::devices()[0](2, act), dtype);
  }

  test::TempFolder folder_;
};

// The CPU rounds activations to 8 bits for block types; the GPU does not.
TEST_P(GpuModelTest, LogitsAreThoseOfTheCpu) {
  const std::vector<int32_t> ids = some_ids(300, 1000);
  const std::pair<DType, double> tolerances[] = {
      {DType::f32, 1e-4},  {DType::bf16, 2e-3}, {DType::f16, 2e-3}, {DType::q8_0, 0.05},
      {DType::q4_0, 0.05}, {DType::q4_k, 0.05}, {DType::q6_k, 0.05}};
  for (const auto& [dtype, tolerance] : tolerances) {
    const auto expected = on(test::cpu_backend("auto", 8), dtype).logits(ids, 300);
    const double error = relative_error(on_gpu(dtype).logits(ids, 300), expected);
    EXPECT_LE(error, tolerance) << dtype_name(dtype);
    RecordProperty("error_" + std::string(dtype_name(dtype)), std::to_string(error));
  }
}

TEST_P(GpuModelTest, DecodeEqualsPrefillInAnyChunks) {
  const std::vector<int32_t> ids = some_ids(300, 1000);
  for (const auto& [dtype, act] : {std::pair{DType::f32, DType::f32},
                                   {DType::bf16, DType::f32},
                                   {DType::bf16, DType::bf16},
                                   {DType::f16, DType::f32},
                                   {DType::q8_0, DType::f32},
                                   {DType::q4_0, DType::f32},
                                   {DType::q4_k, DType::f32},
                                   {DType::q6_k, DType::f32}}) {
    ModelRunner runner = on_gpu(dtype, act);
    const std::vector<float> whole = runner.logits(ids, 300);
    for (const int64_t chunk : {1, 2, 9, 17, 40, 100, 256})
      EXPECT_EQ(runner.logits(ids, chunk), whole)
          << dtype_name(dtype) << " act " << dtype_name(act) << ", chunks of " << chunk;
  }
}

// Every sequence of a batch reads the same ids, each some steps after the one before.
TEST_P(GpuModelTest, BatchesOfAnySizeGiveWhatEachSequenceGivesAlone) {
  constexpr int kSteps = 5;
  for (const DType dtype : {DType::bf16, DType::q8_0, DType::q4_k}) {
    ModelRunner runner = on_gpu(dtype);
    const size_t rows = static_cast<size_t>(runner.model().config().embedding_rows);
    for (const int32_t size : {1, 2, 3, 4, 7, 8, 9, 16, 17, 32, 33, 64, 65, 130}) {
      Decoder batch(runner, size), single(runner, 1);
      std::vector<int32_t> slots(static_cast<size_t>(size));
      std::iota(slots.rbegin(), slots.rend(), 0);
      bool equal = true;
      for (int step = 0; step < kSteps; ++step) {  // the third and later are replayed
        const int32_t id = some_ids(kSteps, 1000)[static_cast<size_t>(step)];
        const std::vector<float> alone = single.step({id}, {0});
        const std::vector<float> all = batch.step(std::vector<int32_t>(slots.size(), id), slots);
        for (size_t i = 0; i < slots.size(); ++i)
          equal &=
              std::equal(alone.begin(), alone.end(), all.begin() + static_cast<int64_t>(i * rows));
      }
      EXPECT_TRUE(equal) << dtype_name(dtype) << ", batch of " << size;
    }
  }
}

// States travel between devices: the planes are the same.
TEST_P(GpuModelTest, AStateOfTheCpuGoesOnOnTheGpu) {
  const std::vector<int32_t> ids = some_ids(40, 1000);
  ModelRunner cpu = on(test::cpu_backend("auto", 2), DType::f32), gpu = on_gpu(DType::f32);
  const int64_t floats = cpu.model().state_layout().floats_per_slot();
  const std::vector<float> expected = cpu.logits(ids, 40);
  const auto feed = [&](ModelRunner& runner, Buffer& state, int64_t first, int64_t count) {
    const auto workspace = runner.model().workspace(static_cast<int32_t>(count), 1);
    const Segment segment{0, 0, static_cast<int32_t>(count)};
    const int32_t last = static_cast<int32_t>(count) - 1;
    const krait::Step step{std::span(ids).subspan(first, count), {&segment, 1}, {&last, 1}};
    std::vector<float> out;
    runner.append(runner.model().forward(step, {state.data, floats}, *workspace), out);
    return out;
  };
  const auto on_cpu = cpu.backend().buffer(floats), on_gpu = gpu.backend().buffer(floats);
  feed(cpu, *on_cpu, 0, 25);
  std::vector<float> planes(static_cast<size_t>(floats));
  cpu.backend().read(on_cpu->data, planes);
  gpu.backend().write(planes, on_gpu->data);
  const std::vector<float> end = feed(gpu, *on_gpu, 25, 15);
  EXPECT_LE(relative_error(end, {expected.end() - std::ssize(end), expected.end()}), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Architectures, GpuModelTest,
                         testing::Values(RandomArchitecture::mamba,
                                         RandomArchitecture::falcon_mamba,
                                         RandomArchitecture::mamba2),
                         [](const auto& suite) { return name_of(suite.param); });

}  // namespace
}  // namespace krait
