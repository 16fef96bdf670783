#include "src/backend/cuda/packing.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "krait/error.h"
#include "src/base/weight_blocks.h"
#include "src/base/weight_values.h"

namespace krait::cuda {
namespace {

constexpr int64_t kHalf = kTileRows / 2;
constexpr int64_t kLanes = 32;
constexpr int64_t kLaneValues = 8;  // of a lane, in a step of 16 columns

// ---- the order of a step ------------------------------------------------------------------------
// Where [row][col] of a step's 16 x 16 weights is: in which lane, as which of its values.
struct Place {
  int64_t lane, value;
};
constexpr Place place_of(int64_t row, int64_t col) noexcept {
  return {row % kHalf * 4 + col % 8 / 2, col / 8 * 4 + row / kHalf * 2 + col % 2};
}

// The step's weights in the order of lanes: `out`[lane][value]. Row r begins at rows + r * stride.
template <class T>
void gather_step(const T* rows, int64_t stride, T* out) noexcept {
  for (int64_t g = 0; g < kHalf; ++g)
    for (int64_t i = 0; i < 8; i += 2) {
      const T *low = rows + g * stride + i, *high = low + kHalf * stride;
      T* lane = out + (g * 4 + i / 2) * kLaneValues;
      std::memcpy(lane, low, 2 * sizeof(T));
      std::memcpy(lane + 2, high, 2 * sizeof(T));
      std::memcpy(lane + 4, low + 8, 2 * sizeof(T));
      std::memcpy(lane + 6, high + 8, 2 * sizeof(T));
    }
}

bool is_quantised(Format format) noexcept { return format >= Format::q8_0; }
bool is_4_bit(Format format) noexcept { return format == Format::q4_0 || format == Format::q4_k; }

// ---- plain formats ------------------------------------------------------------------------------
// A row tile [16, padded cols].
void put_halves(const std::vector<uint16_t>& rows, int64_t padded, std::byte* tiles) noexcept {
  uint16_t step[kLanes * kLaneValues];
  for (int64_t col = 0; col < padded; col += kStep, tiles += kTileBytes) {
    gather_step(rows.data() + col, padded, step);
    std::memcpy(tiles, step, sizeof step);
  }
}
void put_floats(const std::vector<float>& rows, int64_t padded, std::byte* tiles) noexcept {
  float step[kLanes * kLaneValues];
  for (int64_t col = 0; col < padded; col += kStep, tiles += 2 * kTileBytes) {
    gather_step(rows.data() + col, padded, step);
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      std::memcpy(tiles + lane * 16, step + lane * kLaneValues, 16);
      std::memcpy(tiles + kTileBytes + lane * 16, step + lane * kLaneValues + 4, 16);
    }
  }
}

// 16 rows at a time; what lies beyond the matrix is zero.
class PlainRows {
 public:
  PlainRows(const Tensor& tensor, Format format, const std::string& name)
      : tensor_(tensor), format_(format), name_(name) {
    const Layout layout = layout_of(format, tensor.shape[0], tensor.shape[1]);
    padded_ = layout.k_tiles * kStep;
    stored_ = format != Format::f32 && tensor.dtype == dtype_of(format);
    if (format != Format::f32) halves_.resize(kTileRows * padded_);
    if (!stored_) floats_.resize(kTileRows * padded_);
  }

  void pack(int64_t first_row, std::byte* tiles) {
    const int64_t rows = tensor_.shape[0], cols = tensor_.shape[1];
    for (int64_t r = 0; r < kTileRows; ++r) read(first_row + r, first_row + r < rows ? cols : 0, r);
    if (format_ == Format::f32) return put_floats(floats_, padded_, tiles);
    put_halves(halves_, padded_, tiles);
  }

 private:
  // `cols` values of that row, then zeros, as row r.
  void read(int64_t row, int64_t cols, int64_t r) {
    if (stored_) {
      uint16_t* out = halves_.data() + r * padded_;
      if (cols > 0)
        std::memcpy(out, tensor_.data.data() + row * cols * 2, static_cast<size_t>(cols) * 2);
      require_finite({out, static_cast<size_t>(cols)}, tensor_, row * cols, name_);
      std::fill(out + cols, out + padded_, uint16_t{0});
      return;
    }
    float* values = floats_.data() + r * padded_;
    if (cols > 0) copy_to_f32(tensor_, row * cols, cols, values, name_);
    require_storable({values, static_cast<size_t>(cols)}, dtype_of(format_), tensor_, row * cols,
                     name_);
    std::fill(values + cols, values + padded_, 0.0f);
    if (format_ == Format::f32) return;
    std::transform(values, values + padded_, halves_.data() + r * padded_,
                   format_ == Format::f16 ? f16_from_f32 : bf16_from_f32);
  }

  const Tensor& tensor_;
  Format format_;
  const std::string& name_;
  int64_t padded_;
  bool stored_;  // as the tensor holds them
  std::vector<uint16_t> halves_;
  std::vector<float> floats_;
};

// ---- quantised formats --------------------------------------------------------------------------
// What a byte or nibble holds is the level of the block plus this.
uint8_t level_shift(Format format) noexcept { return format == Format::q6_k ? 128 - 32 : 0; }
uint8_t zero_level(Format format) noexcept {
  return static_cast<uint8_t>(level_offset(dtype_of(format)) + level_shift(format));
}

// A row tile of levels [16, padded cols].
void put_levels(Format format, const std::vector<uint8_t>& rows, int64_t padded,
                std::byte* tiles) noexcept {
  uint8_t step[kLanes * kLaneValues];
  const int64_t steps_per_tile = tile_cols(format) / kStep;
  for (int64_t s = 0; s < padded / kStep; ++s) {
    gather_step(rows.data() + s * kStep, padded, step);
    std::byte* tile = tiles + s / steps_per_tile * kTileBytes;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const uint8_t* v = step + lane * kLaneValues;
      std::byte* out = tile + lane * 16 + s % steps_per_tile * (16 / steps_per_tile);
      if (is_4_bit(format)) {
        uint32_t word = 0;
        for (int pair = 0; pair < 4; ++pair)
          word |= uint32_t{v[2 * pair]} << 4 * pair | uint32_t{v[2 * pair + 1]} << (16 + 4 * pair);
        std::memcpy(out, &word, sizeof word);
      } else {
        std::memcpy(out, v, kLaneValues);
      }
    }
  }
}

// Where the scales of row r are, for the `index`th group of columns: of `size` bytes each.
int64_t scale_at(int64_t r, int64_t index, int64_t size) noexcept {
  return (index * kHalf + r % kHalf) * 2 * size + r / kHalf * size;
}

// The scales of one block of row r. `scales` is zero where there is none.
void put_scales(Format format, const Layout& layout, const BlockParts& parts, int64_t block,
                int64_t r, std::byte* scales) noexcept {
  std::byte* supers = scales + layout.scale_bytes;
  if (format == Format::q8_0 || format == Format::q4_0) {
    std::memcpy(scales + scale_at(r, block, 2), &parts.d, 2);
    return;
  }
  const int64_t part = format == Format::q6_k ? 16 : 32, size = format == Format::q6_k ? 1 : 2;
  const int64_t first = block * 256 / part, end = layout.scale_bytes / (kTileRows * size);
  for (int64_t i = 0; i < 256 / part && first + i < end; ++i) {
    std::byte* at = scales + scale_at(r, first + i, size);
    at[0] = static_cast<std::byte>(parts.scale[i]);
    if (format == Format::q4_k) at[1] = static_cast<std::byte>(parts.min[i]);
  }
  std::byte* at = supers + scale_at(r, block, format == Format::q6_k ? 2 : 4);
  std::memcpy(at, &parts.d, 2);
  if (format == Format::q4_k) std::memcpy(at + 2, &parts.dmin, 2);
}

void pack_quantised(const Tensor& tensor, Format format, int64_t first, int64_t last,
                    std::byte* tiles, std::byte* scales, const std::string& name) {
  const Layout layout = layout_of(format, tensor.shape[0], tensor.shape[1]);
  const int64_t padded = layout.k_tiles * tile_cols(format);
  const int64_t elements = dtype_info(dtype_of(format)).block_elements;
  const uint8_t shift = level_shift(format);
  std::vector<uint8_t> levels(kTileRows * padded);
  BlockRows rows(tensor, dtype_of(format), name);
  for (int64_t tile = first; tile < last; ++tile) {
    std::fill(levels.begin(), levels.end(), zero_level(format));
    std::memset(scales, 0, static_cast<size_t>(layout.scale_bytes + layout.super_bytes));
    const int64_t row = tile * kTileRows;
    for (int64_t r = 0; r < std::min<int64_t>(kTileRows, tensor.shape[0] - row); ++r)
      rows.for_each(row + r, [&](int64_t block, const BlockParts& parts) {
        const int64_t begin = block * elements, count = std::min(elements, padded - begin);
        std::transform(parts.level.begin(), parts.level.begin() + count,
                       levels.begin() + r * padded + begin,
                       [shift](uint8_t level) { return static_cast<uint8_t>(level + shift); });
        put_scales(format, layout, parts, block, r, scales);
      });
    put_levels(format, levels, padded, tiles);
    tiles += layout.row_tile_bytes;
    scales += layout.scale_bytes + layout.super_bytes;
  }
}

// ---- back ---------------------------------------------------------------------------------------
BlockParts scales_of(Format format, const Layout& layout, const std::byte* scales, int64_t block,
                     int64_t r) noexcept {
  BlockParts parts;
  if (format == Format::q8_0 || format == Format::q4_0) {
    std::memcpy(&parts.d, scales + scale_at(r, block, 2), 2);
    parts.scale.fill(1);
    return parts;
  }
  const int64_t part = format == Format::q6_k ? 16 : 32, size = format == Format::q6_k ? 1 : 2;
  const int64_t first = block * 256 / part, end = layout.scale_bytes / (kTileRows * size);
  for (int64_t i = 0; i < 256 / part && first + i < end; ++i) {
    const std::byte* at = scales + scale_at(r, first + i, size);
    parts.scale[i] = std::to_integer<int8_t>(at[0]);
    if (format == Format::q4_k) parts.min[i] = std::to_integer<uint8_t>(at[1]);
  }
  const std::byte* at =
      scales + layout.scale_bytes + scale_at(r, block, format == Format::q6_k ? 2 : 4);
  std::memcpy(&parts.d, at, 2);
  if (format == Format::q4_k) std::memcpy(&parts.dmin, at + 2, 2);
  return parts;
}

uint8_t level_of(Format format, const std::byte* tiles, int64_t r, int64_t col) noexcept {
  const auto [lane, value] = place_of(r, col % kStep);
  const int64_t step = col % tile_cols(format) / kStep;
  const std::byte* at = tiles + col / tile_cols(format) * kTileBytes + lane * 16;
  if (!is_4_bit(format))
    return static_cast<uint8_t>(std::to_integer<uint8_t>(at[step * kLaneValues + value]) -
                                level_shift(format));
  uint32_t word;
  std::memcpy(&word, at + step * 4, sizeof word);
  return static_cast<uint8_t>(word >> (value % 2 * 16 + value / 2 * 4) & 15);
}

float plain_value(Format format, const std::byte* tiles, int64_t r, int64_t col) noexcept {
  const auto [lane, value] = place_of(r, col % kStep);
  const std::byte* tile = tiles + col / kStep * loads_per_tile(format) * kTileBytes;
  if (format == Format::f32) {
    float result;
    std::memcpy(&result, tile + value / 4 * kTileBytes + lane * 16 + value % 4 * 4, 4);
    return result;
  }
  uint16_t half;
  std::memcpy(&half, tile + lane * 16 + value * 2, 2);
  return format == Format::f16 ? f32_from_f16(half) : f32_from_bf16(half);
}

}  // namespace

Format format_of(DType type) noexcept {
  KRAIT_CHECK(is_weight_type(type));
  switch (type) {
    case DType::f16: return Format::f16;
    case DType::bf16: return Format::bf16;
    case DType::q8_0: return Format::q8_0;
    case DType::q4_0: return Format::q4_0;
    case DType::q4_k: return Format::q4_k;
    case DType::q6_k: return Format::q6_k;
    default: return Format::f32;
  }
}

DType dtype_of(Format format) noexcept {
  switch (format) {
    case Format::f16: return DType::f16;
    case Format::bf16: return DType::bf16;
    case Format::q8_0: return DType::q8_0;
    case Format::q4_0: return DType::q4_0;
    case Format::q4_k: return DType::q4_k;
    case Format::q6_k: return DType::q6_k;
    default: return DType::f32;
  }
}

void pack_tiles(const Tensor& tensor, Format format, int64_t first, int64_t last, std::byte* tiles,
                std::byte* scales, const std::string& name) {
  if (is_quantised(format)) return pack_quantised(tensor, format, first, last, tiles, scales, name);
  const int64_t bytes = layout_of(format, tensor.shape[0], tensor.shape[1]).row_tile_bytes;
  PlainRows rows(tensor, format, name);
  for (int64_t tile = first; tile < last; ++tile)
    rows.pack(tile * kTileRows, tiles + (tile - first) * bytes);
}

void unpack_row(const std::byte* tiles, const std::byte* scales, Format format, int64_t rows,
                int64_t cols, int64_t row, float* out) {
  const Layout layout = layout_of(format, rows, cols);
  const int64_t tile = row / kTileRows, r = row % kTileRows;
  tiles += tile * layout.row_tile_bytes;
  if (!is_quantised(format)) {
    for (int64_t col = 0; col < cols; ++col) out[col] = plain_value(format, tiles, r, col);
    return;
  }
  scales += tile * (layout.scale_bytes + layout.super_bytes);
  const DType type = dtype_of(format);
  const int64_t elements = dtype_info(type).block_elements;
  for (int64_t begin = 0; begin < cols; begin += elements) {
    BlockParts parts = scales_of(format, layout, scales, begin / elements, r);
    const int64_t count = std::min(elements, cols - begin);
    for (int64_t e = 0; e < count; ++e) parts.level[e] = level_of(format, tiles, r, begin + e);
    values_of(type, parts, count, out + begin);
  }
}

}  // namespace krait::cuda
