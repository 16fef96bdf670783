#!/usr/bin/env python3
"""Checks the compiled training kernels against their plain PyTorch definitions, and the
definitions against finite differences. Exits non-zero on the first disagreement.

With TRITON_INTERPRET=1 the Triton kernels too, on the CPU."""
import argparse
import os
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import mamba1_ops as ops
from train import mamba2


def scan_inputs(batch, length, channels, d_state, dtype):
    def rand(*shape):
        return torch.randn(*shape, dtype=dtype)

    A = -torch.exp(rand(d_state, channels) * 0.5)
    tensors = [rand(batch, length, channels), rand(batch, length, channels), rand(batch, length, channels),
               rand(batch, length, d_state), rand(batch, length, d_state), A, rand(channels), rand(channels) - 2]
    return [t.requires_grad_() for t in tensors], rand(batch, d_state, channels)


def conv_inputs(batch, length, channels, dtype):
    x, weight, bias = (torch.randn(*s, dtype=dtype).requires_grad_()
                       for s in ((batch, length, channels), (4, channels), (channels,)))
    return [x, weight, bias], torch.randn(batch, 3, channels, dtype=dtype)


def gradients(function, inputs, weight):
    out = function(*inputs)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


def compare(name, kernel, plain, inputs, out_shape, dtype, tolerance):
    """Kernel in `dtype` against the plain form in float64, value and every gradient."""
    weight = torch.randn(out_shape, dtype=torch.float64)
    narrow = [t.detach().to(torch.float32 if t.dim() < 3 else dtype).requires_grad_() for t in inputs]
    exact = [t.detach().double().requires_grad_() for t in narrow]
    got = gradients(kernel, narrow, weight.to(dtype))
    want = gradients(plain, exact, weight.to(dtype).double())
    for i, (g, w) in enumerate(zip(got, want)):
        error = ((g.double() - w).norm() / w.norm()).item()
        print(f"{name:22} {str(dtype):15} {'value' if i == 0 else f'gradient {i}':11} relative error {error:.2e}")
        if not error < tolerance:
            raise SystemExit(f"{name}: {error:.2e} exceeds {tolerance:.0e}")


def check_kernels(compiled, dtype, tolerance):
    for length in (1, 32, 77):  # one step, one chunk, a part of a chunk
        out = (2, length, 48)
        inputs, h0 = scan_inputs(2, length, 48, 16, torch.float64)
        h0 = h0.float()
        compare(f"selective_scan L={length}", lambda *a: compiled.selective_scan(*a, h0)[0],
                lambda *a: ops.selective_scan_plain(*a, h0.double())[0], inputs, out, dtype, tolerance)
        inputs, prefix = conv_inputs(2, length, 48, torch.float64)
        prefix = prefix.to(dtype)
        compare(f"causal_conv_silu L={length}", lambda *a: compiled.causal_conv_silu(*a, prefix),
                lambda *a: ops.causal_conv_silu_plain(*a, prefix.double()), inputs, out, dtype, tolerance)
    # Three dimensions, so that `compare` narrows the logits to `dtype`.
    logits = [torch.randn(1, 33, 90, dtype=torch.float64) * 3]  # not a multiple of the lanes
    targets, weights = torch.randint(0, 90, (33,)), torch.rand(33)
    compare("cross_entropy", lambda x: compiled.cross_entropy(x[0], targets, weights),
            lambda x: ops.cross_entropy_plain(x[0], targets, weights.to(x.dtype)), logits, (), dtype, tolerance)


def check_split(compiled):
    """A sequence read in two windows with the state carried equals the whole, bit for bit."""
    inputs, h0 = scan_inputs(1, 40, 16, 16, torch.float32)
    whole, h_whole = compiled.selective_scan(*inputs, h0)
    head, h_mid = compiled.selective_scan(*[t[:, :24] if t.dim() == 3 else t for t in inputs], h0)
    tail, h_tail = compiled.selective_scan(*[t[:, 24:] if t.dim() == 3 else t for t in inputs], h_mid)
    if not (torch.equal(whole, torch.cat([head, tail], 1)) and torch.equal(h_whole, h_tail)):
        raise SystemExit("a split sequence differs from the whole")


def check_triton():
    """The kernels for GPUs, run by Triton's interpreter."""
    from train import pointwise_triton, scan_triton

    inputs, h0 = scan_inputs(2, 37, 40, 4, torch.float64)
    compare("Triton scan", lambda *a: scan_triton.selective_scan(*a, h0.float())[0],
            lambda *a: ops.selective_scan_plain(*a, h0)[0], inputs, (2, 37, 40), torch.float32, 2e-6)
    inputs, prefix = conv_inputs(2, 45, 70, torch.float64)
    compare("Triton convolution", pointwise_triton.CausalConvSilu.apply,
            lambda *a: ops.causal_conv_silu_plain(*a, torch.zeros_like(prefix)), inputs, (2, 45, 70),
            torch.float32, 2e-6)
    logits, targets, weights = [torch.randn(1, 9, 50, dtype=torch.float64)], torch.randint(0, 50, (9,)), torch.rand(9)
    compare("Triton cross-entropy", lambda x: pointwise_triton.CrossEntropy.apply(x[0] * 1, targets, weights),
            lambda x: ops.cross_entropy_plain(x[0], targets, weights.to(x.dtype)), logits, (), torch.float32, 2e-6)


def check_chunked():
    """The forms that cut the sequence into chunks, against the recurrences."""
    inputs, h0 = scan_inputs(2, 150, 24, 4, torch.float64)
    compare("chunked scan", lambda *a: ops.selective_scan_chunked(*a, h0.float())[0],
            lambda *a: ops.selective_scan_plain(*a, h0)[0], inputs, (2, 150, 24), torch.float32, 2e-6)
    shapes = ((2, 150, 3, 8), (2, 150, 3), (3,), (2, 150, 5), (2, 150, 5))
    x, dt, A, B, C = (torch.randn(*s, dtype=torch.float64) for s in shapes)
    inputs, h0 = [x, dt.abs(), -A.abs() * 4, B, C], torch.randn(2, 3, 8, 5, dtype=torch.float64)
    compare("state-space duality", lambda *a: mamba2.ssd(*a, h0.float())[0], lambda *a: mamba2.ssd_plain(*a, h0)[0],
            [t.requires_grad_() for t in inputs], (2, 150, 3, 8), torch.float32, 1e-5)


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.manual_seed(0)
    tiny, h0 = scan_inputs(2, 5, 3, 4, torch.float64)
    torch.autograd.gradcheck(lambda *a: ops.selective_scan_plain(*a, h0), tiny)
    tiny, prefix = conv_inputs(2, 5, 3, torch.float64)
    torch.autograd.gradcheck(lambda *a: ops.causal_conv_silu_plain(*a, prefix), tiny)
    print("plain forms pass gradcheck")
    check_chunked()
    if os.environ.get("TRITON_INTERPRET") == "1":
        check_triton()

    compiled = ops.Ops("compiled")
    check_kernels(compiled, torch.float32, 2e-6)
    check_kernels(compiled, torch.bfloat16, 8e-3)
    check_split(compiled)
    print("all checks passed")


if __name__ == "__main__":
    main()
