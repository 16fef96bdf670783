"""The three operations of Mamba-1 training that need more than a matrix product.

Each exists twice: in plain PyTorch (any device, any float type; the definition) and as a
compiled CPU kernel with its own gradient (mamba1_ops.cpp). `Ops` picks the kernel when the
tensors allow it.

Shapes: B batch, L sequence, C = d_inner, N = d_state, K = d_conv.
"""
import pathlib

import torch
import torch.nn.functional as F

KERNEL_LANES = 16
KERNEL_D_STATE = 16
KERNEL_D_CONV = 4
KERNEL_DTYPES = (torch.float32, torch.bfloat16)


def causal_conv_silu_plain(x, weight, bias, prefix):
    """x (B, L, C), weight (K, C), bias (C), prefix (B, K-1, C): the columns before x."""
    padded = torch.cat([prefix, x], dim=1)
    length = x.shape[1]
    out = bias + sum(padded[:, k : k + length] * weight[k] for k in range(weight.shape[0]))
    return F.silu(out.to(x.dtype))


def selective_scan_plain(u, dt_raw, z, B, C, A, D, dt_bias, h0):
    """The recurrence, one step at a time. A (N, C); h0 (B, N, C). Returns y, h_last."""
    dtype = u.dtype
    u, dt_raw, z, B, C = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (u, dt_raw, z, B, C))
    dt = F.softplus(dt_raw + dt_bias)
    h, outputs = h0, []
    for t in range(u.shape[1]):
        decay = torch.exp(dt[:, t, None] * A)
        h = decay * h + (dt[:, t] * u[:, t])[:, None] * B[:, t, :, None]
        outputs.append((h * C[:, t, :, None]).sum(dim=1))
    y = torch.stack(outputs, dim=1) + D * u
    return (y * F.silu(z)).to(dtype), h


def cross_entropy_plain(logits, targets):
    return F.cross_entropy(logits.float(), targets)


def load_kernels():
    """Compiles (once; PyTorch caches the result) and loads the CPU kernels."""
    from torch.utils.cpp_extension import load

    source = pathlib.Path(__file__).with_name("mamba1_ops.cpp")
    flags = ["-O3", "-march=native", "-fopenmp", "-Wno-psabi"]
    return load("krait_mamba1_ops", [str(source)], extra_cflags=flags, extra_ldflags=["-fopenmp"])


class Ops:
    """Chooses between kernel and plain form per call."""

    def __init__(self, kernels="auto"):
        self.kernels = None
        if kernels == "plain":
            return
        try:
            self.kernels = load_kernels()
        except Exception as error:
            if kernels == "compiled":
                raise
            print(f"CPU kernels unavailable, using plain PyTorch: {error}")

    def _usable(self, x, fits):
        return self.kernels is not None and fits and x.device.type == "cpu" and x.dtype in KERNEL_DTYPES

    def causal_conv_silu(self, x, weight, bias, prefix):
        fits = weight.shape[0] == KERNEL_D_CONV and x.shape[2] % KERNEL_LANES == 0
        if self._usable(x, fits):
            return _ConvKernel.apply(self.kernels, x, weight.contiguous(), bias, prefix)
        return causal_conv_silu_plain(x, weight, bias, prefix)

    def selective_scan(self, u, dt_raw, z, B, C, A, D, dt_bias, h0):
        fits = A.shape[0] == KERNEL_D_STATE and u.shape[2] % KERNEL_LANES == 0
        if self._usable(u, fits):
            return _ScanKernel.apply(self.kernels, u, dt_raw, z, B, C, A.contiguous(), D, dt_bias, h0)
        return selective_scan_plain(u, dt_raw, z, B, C, A, D, dt_bias, h0)

    def cross_entropy(self, logits, targets):
        if self._usable(logits, logits.shape[1] % KERNEL_LANES == 0):
            return _CrossEntropyKernel.apply(self.kernels, logits, targets)
        return cross_entropy_plain(logits, targets)


class _ConvKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kernels, x, weight, bias, prefix):
        ctx.kernels = kernels
        ctx.save_for_backward(x, weight, bias, prefix)
        return kernels.conv_forward(x, weight, bias, prefix)

    @staticmethod
    def backward(ctx, dy):
        # The prefix belongs to an earlier window: no gradient flows into it.
        dx, dweight, dbias = ctx.kernels.conv_backward(dy.contiguous(), *ctx.saved_tensors)
        return None, dx, dweight.sum(0), dbias.sum(0), None


class _ScanKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kernels, u, dt_raw, z, B, C, A, D, dt_bias, h0):
        y, saved, h_last = kernels.scan_forward(u, dt_raw, z, B, C, A, D, dt_bias, h0)
        ctx.kernels = kernels
        ctx.save_for_backward(u, dt_raw, z, B, C, A, D, dt_bias, saved)
        ctx.mark_non_differentiable(h_last)
        return y, h_last

    @staticmethod
    def backward(ctx, dy, _dh_last):
        du, ddt, dz, dB, dC, dA, dD, dbias = ctx.kernels.scan_backward(dy.contiguous(), *ctx.saved_tensors)
        return None, du, ddt, dz, dB, dC, dA.sum(0), dD.sum(0), dbias.sum(0), None


class _CrossEntropyKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kernels, logits, targets):
        loss, grad = kernels.cross_entropy(logits, targets)
        ctx.grad = grad
        return loss.mean()

    @staticmethod
    def backward(ctx, dloss):
        return None, ctx.grad.mul_(dloss), None
