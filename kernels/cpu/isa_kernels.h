// The kernels of the instruction set being compiled.
#pragma once

#include "kernels/cpu/kernels.h"

namespace krait::cpu::KRAIT_ISA {

void product_float(const Product& a) noexcept;
void product_rounded(const Product& a) noexcept;
void product_quantised(const Product& a) noexcept;
void quantize_row(const float* x, int64_t cols, int64_t token, const QuantRows& out) noexcept;
void round_row(const float* x, int64_t cols, int64_t token, const RoundedRows& out) noexcept;
void rms_norm(const float* x, const float* weight, float eps, int64_t cols, float* out) noexcept;
void causal_conv(const Conv& a) noexcept;
void selective_scan(const Scan& a) noexcept;
void ssd_scan(const SsdScan& a) noexcept;
void s4d_scan(const S4dScan& a) noexcept;
void gate(const float* x, const float* z, int64_t n, float* out) noexcept;
void exp_array(const float* x, int64_t n, float* out) noexcept;
void softplus_array(const float* x, int64_t n, float* out) noexcept;
void silu_array(const float* x, int64_t n, float* out) noexcept;
void peak_float(int64_t iterations, float* sink) noexcept;
void peak_bf16(int64_t iterations, float* sink) noexcept;
void peak_int8(int64_t iterations, float* sink) noexcept;

}  // namespace krait::cpu::KRAIT_ISA
