"""The other two operations of training in Triton: the causal depthwise convolution with SiLU, and
the cross-entropy. Activations may be bfloat16; arithmetic is float32. Definitions: mamba1_ops.py.
"""
import torch
import triton
import triton.language as tl

STEPS = 32
BLOCK = 64


@triton.jit
def _conv_sum(x, weight, bias, batch, t, c, L, channels, x_row, K: tl.constexpr):
    valid = c < channels
    total = tl.zeros([t.shape[0], c.shape[0]], tl.float32) + tl.load(bias + c, mask=valid, other=0.0)[None, :]
    for k in tl.static_range(K):
        s = t - (K - 1 - k)
        inside = ((s >= 0) & (s < L))[:, None] & valid[None, :]
        w = tl.load(weight + k * channels + c, mask=valid, other=0.0)
        column = tl.load(x + (batch * L + s)[:, None] * x_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
        total += w[None, :] * column
    return total


@triton.jit
def _conv_forward(x, weight, bias, y, L, channels, x_row,
                  K: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    t = tl.program_id(1) * STEPS + tl.arange(0, STEPS)
    batch = tl.program_id(2).to(tl.int64)
    total = _conv_sum(x, weight, bias, batch, t, c, L, channels, x_row, K)
    inside = (t < L)[:, None] & (c < channels)[None, :]
    tl.store(y + (batch * L + t)[:, None] * channels + c[None, :], total * tl.sigmoid(total), mask=inside)


@triton.jit
def _conv_sum_gradient(x, weight, bias, dy, dsum, dweight, L, channels, x_row, dy_row,
                       K: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """dsum (B, L, C): gradient before the SiLU; dweight (B, tiles, K + 1, C): parts, the bias last."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tile = tl.program_id(1)
    t = tile * STEPS + tl.arange(0, STEPS)
    batch = tl.program_id(2).to(tl.int64)
    valid = c < channels
    inside = (t < L)[:, None] & valid[None, :]
    total = _conv_sum(x, weight, bias, batch, t, c, L, channels, x_row, K)
    gate = tl.sigmoid(total)
    d = tl.load(dy + (batch * L + t)[:, None] * dy_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    d = d * gate * (1.0 + total * (1.0 - gate))
    tl.store(dsum + (batch * L + t)[:, None] * channels + c[None, :], d, mask=inside)
    part = dweight + ((batch * tl.num_programs(1) + tile) * (K + 1)) * channels + c
    for k in tl.static_range(K):
        s = t - (K - 1 - k)
        seen = ((s >= 0) & (s < L))[:, None] & valid[None, :]
        column = tl.load(x + (batch * L + s)[:, None] * x_row + c[None, :], mask=seen, other=0.0).to(tl.float32)
        tl.store(part + k * channels, tl.sum(d * column, axis=0), mask=valid)
    tl.store(part + K * channels, tl.sum(d, axis=0), mask=valid)


@triton.jit
def _conv_input_gradient(dsum, weight, dx, L, channels,
                         K: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    t = tl.program_id(1) * STEPS + tl.arange(0, STEPS)
    batch = tl.program_id(2).to(tl.int64)
    valid = c < channels
    total = tl.zeros([STEPS, BLOCK], tl.float32)
    for k in tl.static_range(K):
        s = t + (K - 1 - k)
        inside = (s < L)[:, None] & valid[None, :]
        w = tl.load(weight + k * channels + c, mask=valid, other=0.0)
        d = tl.load(dsum + (batch * L + s)[:, None] * channels + c[None, :], mask=inside, other=0.0).to(tl.float32)
        total += w[None, :] * d
    inside = (t < L)[:, None] & valid[None, :]
    tl.store(dx + (batch * L + t)[:, None] * channels + c[None, :], total, mask=inside)


def _rows(t):
    if t.stride(2) != 1 or t.stride(0) != t.shape[1] * t.stride(1):
        t = t.contiguous()
    return t, t.stride(1)


class CausalConvSilu(torch.autograd.Function):
    """With an empty prefix: nothing before the first column."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        x, x_row = _rows(x)
        weight = weight.float().contiguous()
        batch, length, channels = x.shape
        y = torch.empty(x.shape, device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(channels, BLOCK), triton.cdiv(length, STEPS), batch)
        _conv_forward[grid](x, weight, bias, y, length, channels, x_row, K=weight.shape[0], STEPS=STEPS, BLOCK=BLOCK)
        ctx.save_for_backward(x, weight, bias)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, bias = ctx.saved_tensors
        (x, x_row), (dy, dy_row) = _rows(x), _rows(dy)
        batch, length, channels = x.shape
        taps, tiles = weight.shape[0], triton.cdiv(length, STEPS)
        dsum, dx = (torch.empty(x.shape, device=x.device, dtype=x.dtype) for _ in range(2))
        parts = torch.empty(batch, tiles, taps + 1, channels, device=x.device)
        grid = (triton.cdiv(channels, BLOCK), tiles, batch)
        tile = {"K": taps, "STEPS": STEPS, "BLOCK": BLOCK}
        _conv_sum_gradient[grid](x, weight, bias, dy, dsum, parts, length, channels, x_row, dy_row, **tile)
        _conv_input_gradient[grid](dsum, weight, dx, length, channels, **tile)
        total = parts.sum((0, 1))
        return dx, total[:taps], total[taps]


@triton.jit
def _cross_entropy(logits, targets, weights, losses, size, BLOCK: tl.constexpr):
    """Losses of one row; replaces the logits by their gradient."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    target = tl.load(targets + row)
    weight = tl.load(weights + row)
    x = tl.load(logits + row * size + i, mask=i < size, other=float("-inf")).to(tl.float32)
    top = tl.max(x, axis=0)
    e = tl.exp(x - top)
    total = tl.sum(e, axis=0)
    of_target = tl.sum(tl.where(i == target, x, 0.0), axis=0)
    tl.store(losses + row, (tl.log(total) + top - of_target) * weight)
    d = (e / total - tl.where(i == target, 1.0, 0.0)) * weight
    tl.store(logits + row * size + i, d, mask=i < size)


class CrossEntropy(torch.autograd.Function):
    """Weighted sum of the losses of logits (rows, V). The logits are used up."""

    @staticmethod
    def forward(ctx, logits, targets, weights):
        losses = torch.empty(logits.shape[0], device=logits.device)
        _cross_entropy[(logits.shape[0],)](logits, targets, weights, losses, logits.shape[1],
                                           BLOCK=triton.next_power_of_2(logits.shape[1]), num_warps=8)
        ctx.grad = logits
        return losses.sum()

    @staticmethod
    def backward(ctx, dloss):
        return ctx.grad.mul_(dloss), None, None
