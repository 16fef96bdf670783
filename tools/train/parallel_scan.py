"""The selective scan in plain PyTorch without a loop over time: log2(L) passes over all states.

Slower than a kernel and hungry for memory, but right on any device; the check of the kernels
at start-up, and what runs where they fail.
"""
import torch
import torch.nn.functional as F


def _doubling(a, b):
    """h[t] = a[t] h[t-1] + b[t] along dimension 1, from h[-1] = 0."""
    span = 1
    while span < a.shape[1]:
        b = torch.cat([b[:, :span], b[:, span:] + a[:, span:] * b[:, :-span]], 1)
        a = torch.cat([a[:, :span], a[:, span:] * a[:, :-span]], 1)
        span *= 2
    return b


class LinearRecurrence(torch.autograd.Function):
    """All states of h[t] = a[t] h[t-1] + b[t]; no gradient flows into h0."""

    @staticmethod
    def forward(ctx, a, b, h0):
        b = torch.cat([b[:, :1] + a[:, :1] * h0[:, None], b[:, 1:]], 1)
        h = _doubling(a, b)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    def backward(ctx, dh):
        a, h, h0 = ctx.saved_tensors
        # The same recurrence backwards in time: g[t] = dh[t] + a[t+1] g[t+1].
        shifted = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1)
        g = _doubling(shifted.flip(1), dh.flip(1)).flip(1)
        return g * torch.cat([h0[:, None], h[:, :-1]], 1), g, None


def selective_scan(u, dt_raw, z, B, C, A, D, dt_bias, h0):
    """As mamba1_ops.selective_scan_plain. A (N, C); h0 (B, N, C). Returns y, h_last."""
    dt = F.softplus(dt_raw + dt_bias)
    h = LinearRecurrence.apply(torch.exp(dt[:, :, None] * A), (dt * u)[:, :, None] * B[..., None], h0)
    y = (h * C[..., None]).sum(2) + D * u
    return y * F.silu(z), h[:, -1].detach()
