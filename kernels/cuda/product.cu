// Chooses the kernel of a product: few tokens at a time, or many.
#include "kernels/cuda/product_few.h"
#include "kernels/cuda/product_many.h"
#include "kernels/cuda/product_wide.h"
#include "kernels/cuda/with_format.h"

namespace krait::cuda {
namespace {

// How a product of more than few tokens is computed.
//   small  blocks of 64 rows and 64 columns, which split the activations; one for each slice where
//          there would be few
//   large  activations split beforehand, blocks of 128 rows and columns
//   thin   the same with few rows: blocks of 32 rows for each slice
enum class Plan { small, large, thin };
constexpr int kSmallColumns = 64, kSmallRows = 64, kThinRows = 32;

// Whether blocks for whole rows would leave multiprocessors idle.
bool few_blocks(const Weights& w, int64_t columns) noexcept {
  return ceil_div(w.rows, kSmallRows) * ceil_div(columns, int64_t{kSmallColumns}) <
         int64_t{2} * multiprocessors();
}

Plan plan_of(const Weights& w, int64_t columns) noexcept {
  if (columns <= kSmallColumns) return Plan::small;
  return w.rows <= 512 && columns <= 2048 ? Plan::thin : Plan::large;
}

// About how long all tiles of a kind take, in times of one of 128 x 128 that has a multiprocessor
// for itself. Small tiles run in pairs and read more for what they compute, wide ones less.
double wide_time(const Product& p, int columns, int tile_rows, int tile_columns) noexcept {
  const int64_t tiles = ceil_div(int64_t{p.w.rows}, int64_t{tile_rows}) *
                        ceil_div(int64_t{columns}, int64_t{tile_columns});
  const int64_t processors = multiprocessors(), together = processors * 128 / tile_rows;
  const int64_t rounds = tiles / together, rest = tiles % together;
  const double last = rest == 0 ? 0.0 : tile_rows == 64 && rest <= processors ? 0.75 : 1.0;
  const double each = (tile_columns == 192 ? 1.5 * 0.85 : 1.0) * (tile_rows == 64 ? 1.3 : 1.0);
  return (static_cast<double>(rounds) + last) * each;
}

// Whether sm_90a is compiled for, whose warpgroup instructions the times above are about; what
// stands for them elsewhere is best in tiles of 128 x 128.
#if defined(KRAIT_WARPGROUP_PRODUCTS)
constexpr bool kWarpgroupProducts = true;
#else
constexpr bool kWarpgroupProducts = false;
#endif

// With the tiles that take the least time.
template <Format F, int Parts>
void best_wide_product(Stream stream, const Product& p) noexcept {
  const int columns = p.tokens * columns_per_token(Parts);
  if constexpr (F == Format::q4_k) sum_columns<Parts>(stream, p);
  if (!kWarpgroupProducts) return wide_product<F, Parts, 8, 16>(stream, p);
  const double time = wide_time(p, columns, 128, 128), small = wide_time(p, columns, 64, 128);
  if constexpr (F == Format::bf16) {
    if (wide_time(p, columns, 128, 192) < std::min(time, small))
      return wide_product<F, Parts, 8, 24>(stream, p);
  }
  if (small < time)
    wide_product<F, Parts, 4, 16>(stream, p);
  else
    wide_product<F, Parts, 8, 16>(stream, p);
}

template <Format F, int Parts>
void product_as(Stream stream, const Product& p) noexcept {
  const PlainSource source = plain_source(p.x, p.w.cols);
  const PlainSink sink{p.bias, p.out, p.accumulate};
  if (few_fits<F, Parts>(p.w, p.tokens, source, sink))
    return few_product<F, Parts>(stream, p.w, p.tokens, source, sink);
  const int64_t columns = int64_t{p.tokens} * columns_per_token(Parts);
  const Plan plan = plan_of(p.w, columns);
  if (plan == Plan::small) {
    auto* sums = few_blocks(p.w, columns) ? reinterpret_cast<float*>(p.scratch) : nullptr;
    return many_product<F, Parts, 2, 2, 2, 4, true>(stream, p, sums);
  }
  split_rows<Parts>(stream, p);
  if (plan == Plan::thin) {
    std::byte* sums = p.scratch + parts_bytes(p.tokens, Parts, p.w.cols);
    return many_product<F, Parts, 2, 2, 1, 4, false>(stream, p, reinterpret_cast<float*>(sums));
  }
  if (wide_products<F, Parts>())
    best_wide_product<F, Parts>(stream, p);
  else if constexpr (F == Format::bf16)
    many_product<F, Parts, 4, 2, 2, 8, false>(stream, p);  // 128 rows, 128 columns
  else
    many_product<F, Parts, 4, 2, 2, 4, false>(stream, p);  // 128 rows, 64 columns
}

}  // namespace

int64_t product_scratch(const Weights& w, int32_t tokens, bool round) noexcept {
  const int parts = parts_of(w.format, round);
  const int64_t columns = int64_t{tokens} * columns_per_token(parts);
  const int64_t split = parts_bytes(tokens, parts, w.cols);
  switch (plan_of(w, columns)) {
    case Plan::small:
      return few_blocks(w, columns) ? slice_sums_bytes(w, columns, kSmallRows, kSmallColumns) : 0;
    case Plan::thin: return split + slice_sums_bytes(w, columns, kThinRows, kSmallColumns);
    case Plan::large: break;
  }
  return split + (w.format == Format::q4_k ? column_sums_bytes(tokens, parts, w.cols) : 0);
}

void product(Stream stream, const Product& p) noexcept {
  with_format(p.w.format, p.round, [&]<Format F, int Parts>() { product_as<F, Parts>(stream, p); });
}

}  // namespace krait::cuda
