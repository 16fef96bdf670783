// Products of many tokens have several kernels: those of sm_90a, and those that any GPU can run.
#include <cstring>

#include <gtest/gtest.h>

#include "kernels/cuda/launch.h"
#include "tests/backend/support.h"
#include "tests/kernels/support.h"

namespace krait {
namespace {

using test::Random, test::StoredTensor, test::TestRows;

class ProductWays : public testing::TestWithParam<std::pair<DType, DType>> {
 protected:
  ~ProductWays() override { cuda::twin::set_options({}); }

  std::vector<float> product(int code_version, int64_t rows, int64_t cols, int64_t tokens) const {
    cuda::twin::Options options;
    options.code_version = code_version;
    cuda::twin::set_options(options);
    Random random(7);
    const auto backend = test::devices().front()(1, GetParam().second);
    const StoredTensor stored(random.values(rows * cols), {rows, cols}, DType::f32);
    const auto matrix = backend->matrix(stored.tensor(), GetParam().first, "w");
    TestRows in(*backend, random.values(tokens * cols), tokens, cols),
        out(*backend, random.values(tokens * rows), tokens, rows);
    backend->linear(*matrix, nullptr, in.view, out.view, true);
    return out.values();
  }
};

TEST_P(ProductWays, GiveTheSameBits) {
  for (const int64_t rows : {70, 270}) {
    constexpr int64_t kCols = 78, kTokens = 530;
    const std::vector<float> wide = product(90, rows, kCols, kTokens),
                             any = product(80, rows, kCols, kTokens);
    EXPECT_EQ(std::memcmp(wide.data(), any.data(), wide.size() * 4), 0) << rows << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, ProductWays,
    testing::Values(std::pair{DType::f32, DType::f32}, std::pair{DType::f16, DType::f32},
                    std::pair{DType::bf16, DType::f32}, std::pair{DType::bf16, DType::bf16},
                    std::pair{DType::q8_0, DType::f32}, std::pair{DType::q4_0, DType::f32},
                    std::pair{DType::q4_k, DType::f32}, std::pair{DType::q6_k, DType::f32}));

}  // namespace
}  // namespace krait
