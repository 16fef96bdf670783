"""The three operations of training that need more than a matrix product.

Each exists in plain PyTorch (any device, any float type; the definition), as a compiled CPU
kernel with its own gradient (mamba1_ops.cpp) and as Triton kernels for GPUs (scan_triton.py,
pointwise_triton.py). `Ops` picks a kernel when the tensors allow it.

Shapes: B batch, L sequence, C = d_inner, N = d_state, K = d_conv.
"""
import pathlib

import torch
import torch.nn.functional as F

KERNEL_LANES = 16
KERNEL_D_STATE = 16
KERNEL_D_CONV = 4
NO_LOGIT = -1e4  # of tokens that only fill the last lanes
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


def selective_scan_chunked(u, dt_raw, z, B, C, A, D, dt_bias, h0, steps=64):
    """The same for long sequences: all chunks of `steps` advance together, first for the states
    they leave when they start from zero, then from the states that follow from these. Keeps only
    its arguments for the backward pass."""
    def scan(u, dt_raw, z, B, C, A, D, dt_bias, h0):
        dtype, length = u.dtype, u.shape[1]
        pad = -length % steps

        def cut(t):  # (B, chunks, steps, X) in float32
            t = F.pad(t.to(torch.promote_types(t.dtype, torch.float32)), (0, 0, 0, pad))
            return t.unflatten(1, (-1, steps))

        dt = F.softplus(dt_raw.float() + dt_bias)
        x, dt, B, C = cut(dt * u), cut(dt), cut(B), cut(C)

        def run(h, outputs):
            for t in range(steps):
                h = torch.exp(dt[:, :, t, None] * A) * h + x[:, :, t, None] * B[:, :, t, :, None]
                if outputs is not None:
                    outputs.append((h * C[:, :, t, :, None]).sum(dim=2))
            return h

        left = run(torch.zeros(*dt.shape[:2], *A.shape, device=u.device, dtype=dt.dtype), None)
        decay = torch.exp(dt.sum(dim=2)[:, :, None] * A)
        starts = [h0]
        for chunk in range(dt.shape[1] - 1):
            starts.append(decay[:, chunk] * starts[-1] + left[:, chunk])
        outputs = []
        h = run(torch.stack(starts, dim=1), outputs)
        y = torch.stack(outputs, dim=2).flatten(1, 2)[:, :length] + D * u
        return (y * F.silu(z.to(y.dtype))).to(dtype), h[:, -1]

    from torch.utils.checkpoint import checkpoint
    return checkpoint(scan, u, dt_raw, z, B, C, A, D, dt_bias, h0, use_reentrant=False)


def cross_entropy_plain(logits, targets, weights):
    """Weighted sum of the losses."""
    return (F.cross_entropy(logits.float(), targets.long(), reduction="none") * weights).sum()


def load_kernels():
    """Compiles (once; PyTorch caches the result) and loads the CPU kernels."""
    from torch.utils.cpp_extension import load

    source = pathlib.Path(__file__).with_name("mamba1_ops.cpp")
    flags = ["-O3", "-march=native", "-fopenmp", "-Wno-psabi"]
    return load("krait_mamba1_ops", [str(source)], extra_cflags=flags, extra_ldflags=["-fopenmp"])


def _compare(name, kernel, plain, inputs, bound=2e-2):
    """Raises where value or gradients of `kernel` differ from those of `plain` in float64."""
    exact = [t.detach().double().requires_grad_() for t in inputs]
    got, want = kernel(*inputs), plain(*exact)
    dy = torch.randn_like(got)
    got.backward(dy)
    want.backward(dy.double())
    pairs = [(got, want), *((a.grad, b.grad) for a, b in zip(inputs, exact))]
    errors = [((a.double() - b).norm() / b.norm()).item() for a, b in pairs]
    print(f"Triton {name}: relative errors {' '.join(f'{e:.1e}' for e in errors)}", flush=True)
    if not max(errors) < bound:
        raise ValueError("it disagrees with its definition")


def load_triton(device):
    """The Triton kernels that work here, by the name of their definition; each is compared first.
    The lengths and widths are such that training finds them compiled."""
    from . import pointwise_triton, scan_triton

    def random(*shape, scale=1.0, dtype=torch.float32):
        return (scale * torch.randn(*shape, device=device)).to(dtype).requires_grad_()

    def wide(width, scale=1.0):
        return random(2, 512, width, scale=scale, dtype=torch.bfloat16)

    h0, prefix = torch.randn(2, 16, 96, device=device), torch.zeros(2, 3, 96, device=device)
    A = -torch.exp(random(16, 96)).detach()
    targets, weights = torch.randint(0, 4096, (64,), device=device), torch.rand(64, device=device)
    scanned = [wide(96), wide(96, 2.0), wide(96), wide(16), wide(16), A.requires_grad_(), random(96), random(96)]
    candidates = (
        ("selective_scan", scan_triton.selective_scan, scanned,
         lambda f: lambda *a: f(*a, h0)[0],
         lambda *a: selective_scan_plain(*a, h0.double())[0]),
        ("causal_conv_silu", pointwise_triton.CausalConvSilu.apply, [wide(96), random(4, 96), random(96)],
         lambda f: f,
         lambda *a: causal_conv_silu_plain(*a, prefix.double())),
        ("cross_entropy", pointwise_triton.CrossEntropy.apply, [random(64, 4096, scale=3.0, dtype=torch.bfloat16)],
         lambda f: lambda x: f(x * 1, targets, weights),
         lambda x: (F.cross_entropy(x, targets, reduction="none") * weights).sum()),
    )
    found = {}
    for name, kernel, inputs, call, plain in candidates:
        try:
            _compare(name, call(kernel), plain, inputs)
            found[name] = kernel
        except Exception as error:
            print(f"Triton {name} is not used: {error}", flush=True)
    return found


class Ops:
    """Chooses between kernel and plain form per call."""

    def __init__(self, kernels="auto", device="cpu"):
        self.kernels, self.triton = None, {}
        if kernels == "plain":
            return
        try:
            if device == "cpu":
                self.kernels = load_kernels()
            else:
                self.triton = load_triton(device)
        except Exception as error:
            if kernels == "compiled":
                raise
            print(f"kernels unavailable, using plain PyTorch: {error}", flush=True)

    def _usable(self, x, fits):
        return self.kernels is not None and fits and x.device.type == "cpu" and x.dtype in KERNEL_DTYPES

    def dilate(self, dt):
        """See dilation.py."""
        return dt

    def causal_conv_silu(self, x, weight, bias, prefix=None):
        """`prefix` None: nothing before the first column."""
        if prefix is None and "causal_conv_silu" in self.triton:
            return self.triton["causal_conv_silu"](x, weight, bias)
        if prefix is None:
            prefix = x.new_zeros(x.shape[0], weight.shape[0] - 1, x.shape[2])
        fits = weight.shape[0] == KERNEL_D_CONV and x.shape[2] % KERNEL_LANES == 0
        if self._usable(x, fits):
            return _ConvKernel.apply(self.kernels, x, weight.contiguous(), bias, prefix)
        return causal_conv_silu_plain(x, weight, bias, prefix)

    def selective_scan(self, u, dt_raw, z, B, C, A, D, dt_bias, h0=None):
        """`h0` None: zero."""
        if h0 is None:
            h0 = torch.zeros(u.shape[0], *A.shape, device=u.device)
        if u.shape[1] > 1 and "selective_scan" in self.triton:
            return self.triton["selective_scan"](u, dt_raw, z, B, C, A, D, dt_bias, h0)
        fits = A.shape[0] == KERNEL_D_STATE and u.shape[2] % KERNEL_LANES == 0
        if self._usable(u, fits):
            return _ScanKernel.apply(self.kernels, u, dt_raw, z, B, C, A.contiguous(), D, dt_bias, h0)
        scan = selective_scan_chunked if u.shape[1] > 128 else selective_scan_plain
        return scan(u, dt_raw, z, B, C, A, D, dt_bias, h0)

    def cross_entropy(self, logits, targets, weights):
        """The weighted sum of the losses; may use up the logits."""
        if "cross_entropy" in self.triton:
            return self.triton["cross_entropy"](logits, targets, weights)
        if self._usable(logits, True):
            logits = F.pad(logits, (0, -logits.shape[1] % KERNEL_LANES), value=NO_LOGIT)
            return _CrossEntropyKernel.apply(self.kernels, logits, targets.long(), weights)
        return cross_entropy_plain(logits, targets, weights)


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
    def forward(ctx, kernels, logits, targets, weights):
        losses, grad = kernels.cross_entropy(logits.contiguous(), targets.contiguous(), weights.contiguous())
        ctx.grad = grad
        return losses.sum()

    @staticmethod
    def backward(ctx, dloss):
        return None, ctx.grad.mul_(dloss), None, None
