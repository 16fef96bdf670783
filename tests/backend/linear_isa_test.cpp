// What the instruction sets of the CPU have in common in products.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "src/backend/cpu/isa.h"
#include "tests/backend/support.h"
#include "tests/kernels/support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::Random, test::StoredTensor, test::TestRows;

// The types of weights, each with float32 activations, and bf16 again with rounded ones.
struct Types {
  DType type, act;
};
const std::vector<Types> kTypes = {{DType::f32, DType::f32},  {DType::f16, DType::f32},
                                   {DType::bf16, DType::f32}, {DType::bf16, DType::bf16},
                                   {DType::q8_0, DType::f32}, {DType::q4_0, DType::f32},
                                   {DType::q4_k, DType::f32}, {DType::q6_k, DType::f32}};

// All fused sets do the same; only avx512bf16 adds differently where activations are rounded.
TEST(LinearIsaTest, FusedInstructionSetsAgreeToTheBit) {
  if (available_isas().size() < 3) GTEST_SKIP() << "needs AVX-512 and AVX2";
  Random random(12);
  constexpr int64_t kCols = 391;
  const std::vector<float> w = random.values(100 * kCols), x = random.values(17 * kCols);
  const StoredTensor stored(w, {100, kCols}, DType::f32);
  for (const Types types : kTypes) {
    std::vector<float> first;
    for (const std::string& isa : available_isas()) {
      if (isa == "scalar" || (isa == "avx512bf16" && types.act == DType::bf16)) continue;
      const auto backend = test::cpu_backend(isa, 1, types.act);
      const auto matrix = backend->matrix(stored.tensor(), types.type, "w");
      TestRows in(*backend, x, 17, kCols), out(*backend, {}, 17, 100);
      backend->linear(*matrix, nullptr, in.view, out.view, false);
      if (first.empty()) first = out.values();
      EXPECT_EQ(first, out.values()) << isa << " " << dtype_name(types.type);
    }
  }
}

// Rounding is for bf16 weights alone.
TEST(LinearIsaTest, OtherWeightsIgnoreTheTypeOfActivations) {
  Random random(13);
  const std::vector<float> w = random.values(40 * 70), x = random.values(3 * 70);
  const StoredTensor stored(w, {40, 70}, DType::f32);
  for (const Types types : kTypes) {
    if (types.act == DType::bf16) continue;
    std::vector<float> results[2];
    for (const DType act : {DType::f32, DType::bf16}) {
      const auto backend = test::cpu_backend("auto", 1, act);
      EXPECT_EQ(backend->info().act, act);
      const auto matrix = backend->matrix(stored.tensor(), types.type, "w");
      TestRows in(*backend, x, 3, 70), out(*backend, {}, 3, 40);
      backend->linear(*matrix, nullptr, in.view, out.view, false);
      results[act == DType::bf16] = out.values();
    }
    EXPECT_EQ(results[0] == results[1], types.type != DType::bf16) << dtype_name(types.type);
  }
}

TEST(LinearIsaTest, OtherTypesOfActivationsAreRefused) {
  EXPECT_THAT(test::message_of<InputError>([] {
                make_backend({"cpu", "auto", 1, DType::f16});
              }),
              testing::HasSubstr("--act f16: expected f32 or bf16"));
}

}  // namespace
}  // namespace krait
