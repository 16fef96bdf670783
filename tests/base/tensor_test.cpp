#include "krait/tensor.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The values as bytes, `shift` bytes past an aligned address.
template <class T>
struct Stored {
  Stored(const std::vector<T>& values, size_t shift)
      : bytes(values.size() * sizeof(T) + shift), start(shift) {
    std::memcpy(bytes.data() + shift, values.data(), values.size() * sizeof(T));
  }
  Tensor tensor(DType type) const {
    const auto data = std::span(bytes).subspan(start);
    return {type, {static_cast<int64_t>(data.size() / sizeof(T))}, data};
  }
  std::vector<std::byte> bytes;
  size_t start;
};

std::vector<float> read(const Tensor& tensor, int64_t first, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count) + 1, 99.0f);
  copy_to_f32(tensor, first, count, out.data(), "t");
  EXPECT_EQ(out.back(), 99.0f) << "wrote past the end";
  out.pop_back();
  return out;
}

TEST(Tensor, CountsElements) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 5, 7}), 105);
  EXPECT_EQ(element_count({3, 0, 7}), 0);
  EXPECT_EQ((Tensor{DType::f32, {2, 4}, {}}.elements()), 8);
}

TEST(Tensor, WritesShapes) {
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Shape{3}), "[3]");
  EXPECT_EQ(to_string(Shape{768, 1536}), "[768, 1536]");
}

TEST(CopyToF32, ConvertsEveryFloatTypeAtAnyAlignment) {
  for (size_t shift = 0; shift < 9; ++shift) {
    EXPECT_THAT(read(Stored<float>({1.5f, -2.0f, 3.25f, -0.0f}, shift).tensor(DType::f32), 0, 4),
                ElementsAre(1.5f, -2.0f, 3.25f, 0.0f));
    EXPECT_THAT(read(Stored<double>({1.5, -1e-50, 1e300}, shift).tensor(DType::f64), 0, 3),
                ElementsAre(1.5f, -0.0f, std::numeric_limits<float>::infinity()));
    EXPECT_THAT(read(Stored<uint16_t>({0x3c00, 0xc100, 0x0001}, shift).tensor(DType::f16), 0, 3),
                ElementsAre(1.0f, -2.5f, 0x1p-24f));
    EXPECT_THAT(read(Stored<uint16_t>({0x3f80, 0xc020, 0x0001}, shift).tensor(DType::bf16), 0, 3),
                ElementsAre(1.0f, -2.5f, 0x1p-133f));
  }
}

TEST(CopyToF32, TakesARangeOfElements) {
  EXPECT_THAT(read(Stored<float>({1, 2, 3, 4}, 1).tensor(DType::f32), 1, 2), ElementsAre(2, 3));
  EXPECT_THAT(read(Stored<double>({1, 2, 3, 4}, 1).tensor(DType::f64), 3, 1), ElementsAre(4));
  EXPECT_THAT(read(Stored<uint16_t>({0x3f80, 0x4000, 0x4040}, 1).tensor(DType::bf16), 1, 2),
              ElementsAre(2, 3));
  EXPECT_THAT(read(Stored<uint16_t>({0x3c00, 0x4000, 0x4200}, 1).tensor(DType::f16), 2, 1),
              ElementsAre(3));
  EXPECT_THAT(read(Stored<float>({1}, 0).tensor(DType::f32), 1, 0), ElementsAre());
}

TEST(CopyToF32, KeepsNanAndInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto halves = read(Stored<uint16_t>({0x7c00, 0xfc00, 0x7e01}, 0).tensor(DType::f16), 0, 3);
  EXPECT_EQ(halves[0], inf);
  EXPECT_EQ(halves[1], -inf);
  EXPECT_TRUE(std::isnan(halves[2]));
  EXPECT_TRUE(std::isnan(read(Stored<float>({NAN}, 3).tensor(DType::f32), 0, 1)[0]));
}

TEST(CopyToF32, RefusesTypesThatAreNoWeights) {
  const Stored<uint64_t> stored({1, 2}, 0);
  for (const DType type :
       {DType::i8, DType::i16, DType::i32, DType::i64, DType::u8, DType::boolean})
    EXPECT_THAT(test::message_of<InputError>([&] { read(stored.tensor(type), 0, 1); }),
                HasSubstr("tensor t has type " + std::string(dtype_name(type))));
}

}  // namespace
}  // namespace krait
