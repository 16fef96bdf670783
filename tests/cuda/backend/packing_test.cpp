// Weights in the order of kernels/cuda/layout.h: what goes in comes out, in every format, for sizes
// that end inside tiles and blocks.
#include "src/backend/cuda/packing.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/error.h"
#include "tests/backend/support.h"
#include "tests/kernels/support.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using cuda::Format;
using test::Random, test::StoredTensor;

constexpr Format kFormats[] = {Format::f32,  Format::f16,  Format::bf16, Format::q8_0,
                               Format::q4_0, Format::q4_k, Format::q6_k};

struct Packed {
  std::vector<std::byte> tiles, scales;
};

// In two parts, as a matrix that does not fit into one piece of staging memory.
Packed pack(const Tensor& tensor, Format format) {
  const cuda::Layout l = cuda::layout_of(format, tensor.shape[0], tensor.shape[1]);
  const int64_t scale_bytes = l.scale_bytes + l.super_bytes, half = l.row_tiles / 2;
  Packed packed;
  packed.tiles.resize(static_cast<size_t>(l.weight_bytes()), std::byte{0xa5});
  packed.scales.resize(static_cast<size_t>(l.all_scale_bytes()), std::byte{0xa5});
  for (const auto& [first, last] : {std::pair{int64_t{0}, half}, {half, l.row_tiles}})
    pack_tiles(tensor, format, first, last, packed.tiles.data() + first * l.row_tile_bytes,
               packed.scales.data() + first * scale_bytes, "w");
  return packed;
}

std::vector<float> unpacked(const Packed& packed, Format format, int64_t rows, int64_t cols) {
  std::vector<float> out(static_cast<size_t>(rows * cols));
  for (int64_t row = 0; row < rows; ++row)
    unpack_row(packed.tiles.data(), packed.scales.data(), format, rows, cols, row,
               out.data() + row * cols);
  return out;
}

// What a conversion through the stored form of the file gives.
std::vector<float> expected_values(const std::vector<float>& w, int64_t cols, DType type) {
  std::vector<float> out;
  const int64_t block = dtype_info(type).block_elements;
  for (int64_t begin = 0; begin < std::ssize(w); begin += cols) {
    std::vector<float> row(w.begin() + begin, w.begin() + begin + cols);
    row.resize(static_cast<size_t>((cols + block - 1) / block * block));
    const StoredTensor stored(row, {1, std::ssize(row)}, type);
    copy_to_f32(stored.tensor(), 0, std::ssize(row), row.data(), "w");
    out.insert(out.end(), row.begin(), row.begin() + cols);
  }
  return out;
}

TEST(CudaPackingTest, UnpackedRowsAreTheConvertedOnes) {
  const int64_t sizes[][2] = {{1, 1},   {16, 16},  {17, 31},  {8, 33},   {33, 64},
                              {40, 65}, {15, 255}, {48, 256}, {31, 257}, {50, 700}};
  for (const auto& [rows, cols] : sizes)
    for (const Format format : kFormats) {
      Random random(static_cast<uint64_t>(rows * cols));
      const std::vector<float> w = random.values(rows * cols);
      const StoredTensor stored(w, {rows, cols}, DType::f32, 1);
      const Packed packed = pack(stored.tensor(), format);
      EXPECT_EQ(unpacked(packed, format, rows, cols),
                expected_values(w, cols, cuda::dtype_of(format)))
          << rows << "x" << cols << " " << dtype_name(cuda::dtype_of(format));
    }
}

TEST(CudaPackingTest, WhatIsStoredAsItIsUsedIsTheSame) {
  constexpr int64_t kRows = 21, kCols = 512;
  Random random(7);
  const std::vector<float> w = random.values(kRows * kCols);
  for (const Format format : kFormats) {
    const DType type = cuda::dtype_of(format);
    const StoredTensor plain(w, {kRows, kCols}, DType::f32), stored(w, {kRows, kCols}, type, 1);
    const Packed a = pack(plain.tensor(), format), b = pack(stored.tensor(), format);
    EXPECT_EQ(a.tiles, b.tiles) << dtype_name(type);
    EXPECT_EQ(a.scales, b.scales) << dtype_name(type);
  }
}

// The table of layout.h, written out again: lane l holds rows l / 4 and l / 4 + 8.
TEST(CudaPackingTest, LanesHoldWhatTheOperandOfAProductAsksFor) {
  std::vector<float> w(16 * 16);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i);
  const StoredTensor stored(w, {16, 16}, DType::f32);
  const Packed packed = pack(stored.tensor(), Format::bf16);
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, i = lane % 4 * 2;
    const int expected[8] = {g * 16 + i,           g * 16 + i + 1,      (g + 8) * 16 + i,
                             (g + 8) * 16 + i + 1, g * 16 + i + 8,      g * 16 + i + 9,
                             (g + 8) * 16 + i + 8, (g + 8) * 16 + i + 9};
    for (int v = 0; v < 8; ++v) {
      uint16_t bits;
      std::memcpy(&bits, packed.tiles.data() + lane * 16 + v * 2, 2);
      EXPECT_EQ(f32_from_bf16(bits), static_cast<float>(expected[v])) << lane << " " << v;
    }
  }
}

// Beyond the matrix there are zeros: no sum may see what is there.
TEST(CudaPackingTest, PaddingIsZero) {
  Random random(3);
  const std::vector<float> w = random.values(17 * 33);
  const StoredTensor stored(w, {17, 33}, DType::f32);
  for (const Format format : kFormats) {
    const Packed packed = pack(stored.tensor(), format);
    const int64_t cols = cuda::layout_of(format, 17, 33).k_tiles * cuda::tile_cols(format);
    const bool minimum = format == Format::q4_k;  // shared with columns that are there
    for (int64_t row = 0; row < 32; ++row) {
      std::vector<float> values(static_cast<size_t>(cols));
      unpack_row(packed.tiles.data(), packed.scales.data(), format, 32, cols, row, values.data());
      for (int64_t col = row < 17 ? 33 : 0; col < cols; ++col) {
        if (row < 17 && minimum && col < 64) continue;
        EXPECT_EQ(values[col], 0.0f) << dtype_name(cuda::dtype_of(format)) << row << " " << col;
      }
    }
  }
}

TEST(CudaPackingTest, WhatF16CannotHoldIsRefused) {
  std::vector<float> w(20 * 20, 1.0f);
  w[399] = 70000.0f;
  const StoredTensor stored(w, {20, 20}, DType::f32);
  EXPECT_THAT(test::message_of<InputError>([&] { pack(stored.tensor(), Format::f16); }),
              testing::HasSubstr("tensor w holds 70000"));
}

}  // namespace
}  // namespace krait
