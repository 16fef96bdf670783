// Chooses the kernel of a product: few tokens at a time, or many.
#include "kernels/cuda/product_few.h"
#include "kernels/cuda/product_many.h"
#include "kernels/cuda/product_wide.h"

namespace krait::cuda {
namespace {

constexpr int parts_of(Format format, bool round) {
  return format == Format::f32 ? 3 : format == Format::bf16 && round ? 1 : 2;
}

// Whether the parts of the activations are made by a kernel of their own.
bool is_split(Format format, int tokens, bool round) noexcept {
  return tokens * columns_per_token(parts_of(format, round)) > 512;
}

template <Format F, int Parts>
void product_as(Stream stream, const Product& p) noexcept {
  const PlainSource source = plain_source(p.x, p.w.cols);
  const PlainSink sink{p.bias, p.out, p.accumulate};
  if (few_fits<F, Parts>(p.w, p.tokens, source, sink))
    return few_product<F, Parts>(stream, p.w, p.tokens, source, sink);
  const int columns = p.tokens * columns_per_token(Parts);
  if (!is_split(F, p.tokens, p.round)) {
    if (columns <= 64)
      many_product<F, Parts, 2, 2, 1, 4, true>(stream, p);  // 32 rows, 64 columns
    else
      many_product<F, Parts, 2, 2, 2, 4, true>(stream, p);  // 64 rows, 64 columns
    return;
  }
  split_rows<Parts>(stream, p);
  if (wide_product<F, Parts>(stream, p)) return;  // 128 rows, 128 columns
  if (p.w.rows <= 256)
    many_product<F, Parts, 2, 2, 1, 4, false>(stream, p);
  else if constexpr (F == Format::bf16)
    many_product<F, Parts, 4, 2, 2, 8, false>(stream, p);  // 128 rows, 128 columns
  else
    many_product<F, Parts, 4, 2, 2, 4, false>(stream, p);  // 128 rows, 64 columns
}

}  // namespace

int64_t product_scratch(const Weights& w, int32_t tokens, bool round) noexcept {
  if (!is_split(w.format, tokens, round)) return 0;
  const int parts = parts_of(w.format, round);
  return parts_bytes(tokens, parts, w.cols) +
         (w.format == Format::q4_k ? column_sums_bytes(tokens, parts, w.cols) : 0);
}

void product(Stream stream, const Product& p) noexcept {
  switch (p.w.format) {
    case Format::f32: return product_as<Format::f32, 3>(stream, p);
    case Format::f16: return product_as<Format::f16, 2>(stream, p);
    case Format::bf16:
      return p.round ? product_as<Format::bf16, 1>(stream, p)
                     : product_as<Format::bf16, 2>(stream, p);
    case Format::q8_0: return product_as<Format::q8_0, 2>(stream, p);
    case Format::q4_0: return product_as<Format::q4_0, 2>(stream, p);
    case Format::q4_k: return product_as<Format::q4_k, 2>(stream, p);
    case Format::q6_k: return product_as<Format::q6_k, 2>(stream, p);
  }
}

}  // namespace krait::cuda
