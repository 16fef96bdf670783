// S4D as one long convolution: the kernel of a channel, K[t] = 2 Re(sum_p C B' exp(t dt A)), and
// its product with the input by the fast Fourier transform (Cooley and Tukey), in double precision.
#include <complex>
#include <numbers>

#include "models/s4d.h"

namespace krait {
namespace {

using Complex = std::complex<double>;

// std::complex's own product looks for infinities.
Complex multiply(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// Transforms of one size, a power of two.
class Fourier {
 public:
  explicit Fourier(size_t size) : size_(size), roots_(size / 2) {
    for (size_t i = 0; i < size / 2; ++i)
      roots_[i] = std::polar(
          1.0, -2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size));
  }

  // In place: v[k] becomes sum_t v[t] exp(-2 pi i k t / size).
  void transform(std::vector<Complex>& v) const {
    for (size_t i = 1, reversed = 0; i < size_; ++i) {
      size_t bit = size_ / 2;
      for (; reversed & bit; bit /= 2) reversed ^= bit;
      reversed ^= bit;
      if (i < reversed) std::swap(v[i], v[reversed]);
    }
    for (size_t half = 1; half < size_; half *= 2)
      for (size_t first = 0; first < size_; first += 2 * half)
        for (size_t i = 0; i < half; ++i) {
          const Complex a = v[first + i];
          const Complex b = multiply(v[first + half + i], roots_[i * (size_ / (2 * half))]);
          v[first + i] = a + b;
          v[first + half + i] = a - b;
        }
  }

 private:
  size_t size_;
  std::vector<Complex> roots_;
};

// Circular convolution of the sequences a and b, both overwritten; the result is in `a`, real part.
void convolve(const Fourier& fourier, std::vector<Complex>& a, std::vector<Complex>& b) {
  fourier.transform(a);
  fourier.transform(b);
  const double scale = 1.0 / static_cast<double>(a.size());
  // The inverse is the transform of the conjugate, conjugated; the result is real.
  for (size_t i = 0; i < a.size(); ++i) a[i] = std::conj(multiply(a[i], b[i])) * scale;
  fourier.transform(a);
}

}  // namespace

void s4d_convolve(const S4dModes& modes, float* state, float* x, int64_t stride, int64_t tokens) {
  size_t size = 1;
  while (size < 2 * static_cast<size_t>(tokens)) size *= 2;  // room for the tail: no wrapping
  const Fourier fourier(size);
  std::vector<Complex> kernel, input;
  std::vector<double> carried(static_cast<size_t>(tokens));
  for (int64_t channel = 0; channel < modes.d_inner; ++channel) {
    kernel.assign(size, 0.0);
    input.assign(size, 0.0);
    carried.assign(carried.size(), 0.0);
    kernel[0] = double{modes.d[channel]};
    for (int64_t t = 0; t < tokens; ++t) input[t] = double{x[t * stride + channel]};
    for (int64_t p = 0; p < modes.pairs; ++p) {
      const int64_t re = p * modes.d_inner + channel, im = re + modes.pairs * modes.d_inner;
      const Complex decay(modes.decay[re], modes.decay[im]), c(modes.c[re], -modes.c[im]);
      const Complex before(state[re], state[im]);
      Complex power = 1.0, after = before;
      for (int64_t t = 0; t < tokens; ++t) {
        kernel[t] += multiply(c, power).real();
        power = multiply(power, decay);
        carried[t] += multiply(c, multiply(power, before)).real();
        after = multiply(after, decay) + input[t];
      }
      state[re] = static_cast<float>(after.real());
      state[im] = static_cast<float>(after.imag());
    }
    convolve(fourier, kernel, input);
    for (int64_t t = 0; t < tokens; ++t)
      x[t * stride + channel] = static_cast<float>(kernel[t].real() + carried[t]);
  }
}

}  // namespace krait
