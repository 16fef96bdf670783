// Products against the double-precision reference: every device, weight type, odd size and
// misalignment; and bit-identical results however tokens are grouped and threads are counted.
#include <cstring>

#include <gtest/gtest.h>

#include "kernels/reference/reference.h"
#include "tests/backend/support.h"
#include "tests/kernels/support.h"

namespace krait {
namespace {

using test::doubles, test::Random, test::StoredTensor, test::TestRows;

struct Size {
  int64_t rows, cols, tokens;
};

// The types of weights, each with float32 activations, and bf16 again with rounded ones.
struct Types {
  DType type, act;
};
const std::vector<Types> kTypes = {{DType::f32, DType::f32},  {DType::f16, DType::f32},
                                   {DType::bf16, DType::f32}, {DType::bf16, DType::bf16},
                                   {DType::q8_0, DType::f32}, {DType::q4_0, DType::f32},
                                   {DType::q4_k, DType::f32}, {DType::q6_k, DType::f32}};

// The weights that a matrix of that type stands for. Rows may end inside a block, as if zeros
// followed.
std::vector<float> stored_values(const std::vector<float>& w, int64_t cols, DType type) {
  std::vector<float> out = w;
  if (type == DType::f16)
    for (float& v : out) v = f32_from_f16(f16_from_f32(v));
  if (type == DType::bf16)
    for (float& v : out) v = f32_from_bf16(bf16_from_f32(v));
  if (!is_block_type(type)) return out;
  const int64_t size = dtype_info(type).block_elements;
  for (int64_t begin = 0; begin < std::ssize(w); begin += cols)
    for (int64_t k = 0; k < cols; k += size) {
      float block[kMaxBlockElements] = {}, values[kMaxBlockElements];
      std::byte bytes[kMaxBlockElements * 2];
      const int64_t count = std::min(size, cols - k);
      std::copy_n(w.data() + begin + k, count, block);
      quantize_block(type, block, bytes);
      dequantize_block(type, bytes, values);
      std::copy_n(values, count, out.data() + begin + k);
    }
  return out;
}

// The activations that a product with such weights sees: with `int8`, 8 bits in blocks of 32 for
// block types.
std::vector<double> seen_values(const std::vector<float>& x, int64_t cols, Types types, bool int8) {
  std::vector<double> out = doubles(x);
  if (types.act == DType::bf16)
    for (double& v : out) v = f32_from_bf16(bf16_from_f32(static_cast<float>(v)));
  if (!is_block_type(types.type) || !int8) return out;
  for (int64_t begin = 0; begin < std::ssize(x); begin += cols)
    for (int64_t k = 0; k < cols; k += 32) {
      const int64_t first = begin + k, last = begin + std::min(k + 32, cols);
      float largest = 0;
      for (int64_t i = first; i < last; ++i) largest = std::max(largest, std::fabs(x[i]));
      for (int64_t i = first; i < last; ++i)
        out[i] = std::nearbyint(x[i] * (127.0f / largest)) * static_cast<double>(largest / 127.0f);
    }
  return out;
}

class LinearTest : public testing::TestWithParam<std::tuple<test::Device, Types>> {
 protected:
  const test::Device& device() const { return std::get<0>(GetParam()); }
  Types types() const { return std::get<1>(GetParam()); }
  DType type() const { return types().type; }
  std::unique_ptr<Backend> backend(int threads) const { return device()(threads, types().act); }
};

TEST_P(LinearTest, MatchesTheReferenceForOddSizesTailsAndMisalignments) {
  // Of sums in float32: all rounding of inputs is modelled, but where activations are split.
  const bool split = type() != DType::f32 && types().act == DType::f32;
  const double tolerance = 3e-6 + (split ? device().split_error : 0);
  const Size sizes[] = {{1, 1, 1},      {5, 3, 2},      {31, 33, 3},  {32, 32, 1},  {33, 31, 5},
                        {64, 48, 4},    {80, 100, 7},   {96, 17, 13}, {130, 65, 1}, {257, 129, 16},
                        {200, 77, 29},  {70, 256, 1},   {40, 255, 2}, {45, 257, 3}, {150, 300, 1},
                        {33, 1000, 14}, {128, 1024, 1}, {34, 289, 5}};
  uint64_t seed = 1;
  for (const Size& s : sizes) {
    SCOPED_TRACE(testing::Message() << s.rows << "x" << s.cols << " tokens " << s.tokens);
    Random random(seed++);
    const std::vector<float> w = random.values(s.rows * s.cols),
                             x = random.values(s.tokens * s.cols), bias = random.values(s.rows),
                             old = random.values(s.tokens * s.rows);
    const auto backend = this->backend(2);
    const StoredTensor stored(w, {s.rows, s.cols}, DType::f32, seed % 4);
    const auto matrix = backend->matrix(stored.tensor(), type(), "w");
    const auto bias_vector = backend->vector(bias);
    const std::vector<double> exact_w = doubles(stored_values(w, s.cols, type()));
    const std::vector<double> exact_x = seen_values(x, s.cols, types(), device().int8_activations);

    TestRows in(*backend, x, s.tokens, s.cols, seed % 5, seed % 3),
        out(*backend, old, s.tokens, s.rows, 3, 1);
    in.poison_gaps();
    backend->linear(*matrix, nullptr, in.view, out.view, false);
    const auto exact = reference::linear(exact_w, {}, exact_x, s.rows, s.cols, s.tokens);
    EXPECT_LE(test::relative_error(out.values(), exact), tolerance);
    EXPECT_TRUE(out.gaps_untouched());

    TestRows sum(*backend, old, s.tokens, s.rows);
    backend->linear(*matrix, bias_vector.get(), in.view, sum.view, true);
    auto exact_sum = reference::linear(exact_w, doubles(bias), exact_x, s.rows, s.cols, s.tokens);
    for (size_t i = 0; i < exact_sum.size(); ++i) exact_sum[i] += old[i];
    EXPECT_LE(test::relative_error(sum.values(), exact_sum), tolerance);
  }
}

TEST_P(LinearTest, BitsDoNotDependOnGroupingOrThreads) {
  constexpr int64_t kRows = 150, kCols = 300, kTokens = 41;
  Random random(9);
  const std::vector<float> w = random.values(kRows * kCols), x = random.values(kTokens * kCols);
  const StoredTensor stored(w, {kRows, kCols}, DType::f32);
  std::vector<float> first;
  for (const int threads : {1, 2, 3})
    for (const int64_t group : {1, 2, 3, 5, 12, 13, 41}) {
      const auto backend = this->backend(threads);
      const auto matrix = backend->matrix(stored.tensor(), type(), "w");
      TestRows in(*backend, x, kTokens, kCols), out(*backend, {}, kTokens, kRows);
      for (int64_t t = 0; t < kTokens; t += group) {
        const int64_t n = std::min(group, kTokens - t);
        backend->linear(*matrix, nullptr, in.view.slice(t, n), out.view.slice(t, n), false);
      }
      if (first.empty()) first = out.values();
      EXPECT_EQ(std::memcmp(first.data(), out.values().data(), first.size() * 4), 0)
          << threads << " threads, groups of " << group;
    }
}

// Hundreds of tokens, which may take other ways than a few: sizes that end inside tiles, chunks and
// blocks of columns.
TEST_P(LinearTest, BitsOfManyTokensAreThoseOfFew) {
  const int64_t tokens = types().act == DType::bf16 ? 530 : 277;
  constexpr int64_t kFew = 3;
  for (const auto& [rows, cols] :
       {std::pair{int64_t{140}, int64_t{1100}}, {int64_t{270}, int64_t{78}}}) {
    SCOPED_TRACE(testing::Message() << rows << "x" << cols);
    Random random(static_cast<uint64_t>(rows));
    const std::vector<float> w = random.values(rows * cols), x = random.values(tokens * cols),
                             old = random.values(tokens * rows);
    const auto backend = this->backend(2);
    const StoredTensor stored(w, {rows, cols}, DType::f32);
    const auto matrix = backend->matrix(stored.tensor(), type(), "w");
    const auto bias = backend->vector(random.values(rows));
    for (const bool accumulate : {false, true}) {
      TestRows in(*backend, x, tokens, cols, 3, 1), many(*backend, old, tokens, rows, 5, 2),
          few(*backend, old, tokens, rows);
      in.poison_gaps();
      const Vector* added = accumulate ? bias.get() : nullptr;
      backend->linear(*matrix, added, in.view, many.view, accumulate);
      EXPECT_TRUE(many.gaps_untouched());
      const std::vector<float> all = many.values();
      for (const int64_t t : {int64_t{0}, int64_t{31}, int64_t{62}, int64_t{127}, tokens - kFew}) {
        backend->linear(*matrix, added, in.view.slice(t, kFew), few.view.slice(t, kFew),
                        accumulate);
        const std::vector<float> some = few.values();
        EXPECT_EQ(std::memcmp(some.data() + t * rows, all.data() + t * rows, kFew * rows * 4), 0)
            << "token " << t;
      }
    }
  }
}

TEST_P(LinearTest, EmbedGivesTheStoredRow) {
  constexpr int64_t kRows = 70;
  // Converted from float32, and, in rows of whole blocks, stored as what it becomes.
  for (const auto& [cols, from] : {std::pair{int64_t{365}, DType::f32}, {int64_t{512}, type()}}) {
    Random random(3);
    const std::vector<float> w = random.values(kRows * cols);
    const auto backend = this->backend(1);
    const StoredTensor stored(w, {kRows, cols}, from, 1);
    const auto matrix = backend->matrix(stored.tensor(), type(), "w");
    const std::vector<float> exact = stored_values(w, cols, type());
    const std::vector<int32_t> ids = {0, 31, 32, 15, 16, 69, 47};
    TestRows out(*backend, {}, static_cast<int64_t>(ids.size()), cols);
    backend->embed(*matrix, ids, out.view);
    for (size_t t = 0; t < ids.size(); ++t)
      for (int64_t k = 0; k < cols; ++k)
        EXPECT_EQ(out.values()[t * cols + k], exact[ids[t] * cols + k]);
  }
}

TEST_P(LinearTest, NonFiniteActivationsShowInTheResult) {
  Random random(4);
  const auto backend = this->backend(1);
  const StoredTensor stored(random.values(64 * 40, 0.5f, 1.0f), {64, 40}, DType::f32);
  const auto matrix = backend->matrix(stored.tensor(), type(), "w");
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> x = random.values(40);
    x[37] = bad;
    TestRows in(*backend, x, 1, 40), out(*backend, {}, 1, 64);
    backend->linear(*matrix, nullptr, in.view, out.view, false);
    for (const float y : out.values()) EXPECT_FALSE(std::isfinite(y));
  }
}

INSTANTIATE_TEST_SUITE_P(DeviceAndType, LinearTest,
                         testing::Combine(testing::ValuesIn(test::devices()),
                                          testing::ValuesIn(kTypes)),
                         [](const auto& suite) {
                           const Types types = std::get<1>(suite.param);
                           return std::get<0>(suite.param).name + "_" +
                                  std::string(dtype_name(types.type)) +
                                  (types.act == DType::bf16 ? "_act_bf16" : "");
                         });

}  // namespace
}  // namespace krait
