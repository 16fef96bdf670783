// Memory of the CUDA backend: what is asked for is there, zeroed, and comes back whole.
#include "src/backend/cuda/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "src/backend/cuda/cuda_backend.h"
#include "tests/kernels/support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using testing::AllOf, testing::Each, testing::HasSubstr;

std::unique_ptr<Backend> backend() { return make_cuda_backend(0, 2, DType::bf16); }

TEST(CudaMemoryTest, InfoNamesTheDevice) {
  const DeviceInfo info = backend()->info();
  EXPECT_EQ(info.name, "cuda:0");
  EXPECT_EQ(info.isa, "sm_90");
  EXPECT_EQ(info.act, DType::bf16);
  EXPECT_EQ(info.threads, 0);
  EXPECT_GT(info.prefill_tokens, 64);
}

TEST(CudaMemoryTest, BuffersBeginAsZerosAndComeBackWhole) {
  const auto gpu = backend();
  for (const int64_t size : {1, 63, 300000, 262144, 524288, 700001}) {  // below and above a piece
    const auto buffer = gpu->buffer(size);
    std::vector<float> found(static_cast<size_t>(size), 1.0f);
    gpu->read(buffer->data, found);
    EXPECT_THAT(found, Each(0.0f));
    test::Random random(static_cast<uint64_t>(size));
    const std::vector<float> values = random.values(size);
    gpu->write(values, buffer->data);
    gpu->read(buffer->data, found);
    EXPECT_EQ(found, values);
    const auto other = gpu->buffer(size);
    gpu->copy(buffer->data, other->data, size);
    gpu->zero(buffer->data, size / 2);
    gpu->read(other->data, found);
    EXPECT_EQ(found, values);
    gpu->read(buffer->data, found);
    EXPECT_TRUE(std::equal(found.begin() + size / 2, found.end(), values.begin() + size / 2));
    EXPECT_TRUE(
        std::all_of(found.begin(), found.begin() + size / 2, [](float v) { return v == 0; }));
  }
}

// Kernels read whole vectors of 16 bytes, also where parameters end inside one.
TEST(CudaMemoryTest, VectorsAreFollowedByZeros) {
  const auto gpu = backend();
  const auto vector = gpu->vector(std::vector<float>(33, 2.0f));
  const float* data = static_cast<const cuda::CudaVector&>(*vector).data();
  EXPECT_EQ(data[32], 2.0f);
  for (int i = 33; i < 33 + 64; ++i) EXPECT_EQ(data[i], 0.0f);
}

TEST(CudaMemoryTest, ShortageSaysWhatWasWantedAndWhatIsFree) {
  const auto gpu = backend();  // the twin claims 256 MiB
  EXPECT_THAT(
      test::message_of<Failure>([&] { gpu->buffer(int64_t{1} << 28); }),
      AllOf(HasSubstr("out of GPU memory: a buffer for activations or states takes 1024 MiB"),
            HasSubstr("256 of 256 MiB are free"), HasSubstr("--dtype")));
  const Tensor tensor{DType::f32, {1 << 20, 1 << 10}, {}};
  EXPECT_THAT(test::message_of<Failure>([&] { gpu->matrix(tensor, DType::bf16, "head.weight"); }),
              HasSubstr("tensor head.weight takes 2048 MiB"));
}

// A matrix of several pieces of staging memory, from several threads at once.
TEST(CudaMemoryTest, LargeMatricesComeInPieces) {
  constexpr int64_t kRows = 3000, kCols = 2048;  // 24 MiB of float32
  const auto gpu = backend();
  test::Random random(5);
  const std::vector<float> w = random.values(kRows * kCols);
  const Tensor tensor{DType::f32, {kRows, kCols}, std::as_bytes(std::span(w))};
  const auto matrix = gpu->matrix(tensor, DType::f32, "w");
  const std::vector<int32_t> ids = {0, 1500, 2047, 2048, 2999};
  const auto out = gpu->buffer(std::ssize(ids) * kCols);
  gpu->embed(*matrix, ids, {out->data, std::ssize(ids), kCols, kCols});
  std::vector<float> found(ids.size() * kCols);
  gpu->read(out->data, found);
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_TRUE(std::equal(found.begin() + i * kCols, found.begin() + (i + 1) * kCols,
                           w.begin() + ids[i] * kCols))
        << ids[i];
}

TEST(CudaMemoryTest, RoofsAreMeasured) {
  const auto gpu = backend();
  EXPECT_GT(gpu->read_bandwidth(), 0);
  EXPECT_GT(gpu->peak_multiply_adds(DType::bf16), 0);
}

}  // namespace
}  // namespace krait
