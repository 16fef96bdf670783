// From the format of weights, known when the program runs, to the code compiled for it.
#pragma once

#include "kernels/cuda/layout.h"

namespace krait::cuda {

// bf16 parts that the activations of a product are split into. `round`: --act bf16.
constexpr int parts_of(Format format, bool round) {
  return format == Format::f32 ? 3 : format == Format::bf16 && round ? 1 : 2;
}

// Calls work<F>().
template <class Work>
void with_format(Format format, Work&& work) noexcept {
  switch (format) {
    case Format::f32: return work.template operator()<Format::f32>();
    case Format::f16: return work.template operator()<Format::f16>();
    case Format::bf16: return work.template operator()<Format::bf16>();
    case Format::q8_0: return work.template operator()<Format::q8_0>();
    case Format::q4_0: return work.template operator()<Format::q4_0>();
    case Format::q4_k: return work.template operator()<Format::q4_k>();
    case Format::q6_k: return work.template operator()<Format::q6_k>();
  }
}

// Calls work<F, Parts>().
template <class Work>
void with_format(Format format, bool round, Work&& work) noexcept {
  with_format(format, [&]<Format F>() {
    if constexpr (F == Format::bf16) {
      if (round) return work.template operator()<F, parts_of(F, true)>();
    }
    work.template operator()<F, parts_of(F, false)>();
  });
}

}  // namespace krait::cuda
