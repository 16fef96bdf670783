"""The operations of Mamba-1 training for the device at hand, checked before they are used."""
import torch

from . import mamba1_ops, parallel_scan

CHECK_LENGTH = 48
CHECK_TOLERANCE = 1e-4


class GpuOps(mamba1_ops.Ops):
    """Plain PyTorch, except for the selective scan."""

    def __init__(self, scan):
        super().__init__("plain")
        self.selective_scan = scan


def scan_error(scan, device, d_state=16, channels=64):
    """The largest relative error of `scan` in float32, value and gradients, against the plain
    recurrence in float64."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape, scale=1.0):
        return torch.randn(*shape, generator=generator) * scale

    batch, length = 2, CHECK_LENGTH
    given = [draw(batch, length, channels), draw(batch, length, channels, scale=2.0), draw(batch, length, 2 * channels),
             draw(batch, length, 4 + 2 * d_state), -torch.exp(draw(d_state, channels)), draw(channels),
             draw(channels) - 2]
    h0, weight = draw(batch, d_state, channels), draw(batch, length, channels)

    def run(function, device, dtype):
        inputs = [t.to(device, dtype).requires_grad_() for t in given]
        u, dt_raw, xz, low, A, D, bias = inputs
        _, B, C = low.split([4, d_state, d_state], dim=-1)  # rows that are not contiguous, as in the model
        y, h = function(u, dt_raw, xz.chunk(2, dim=-1)[1], B, C, A, D, bias, h0.to(device, dtype))
        gradients = torch.autograd.grad((y * weight.to(device, dtype)).sum(), inputs)
        return [t.detach().cpu().double() for t in (y, h, *gradients)]

    want = run(mamba1_ops.selective_scan_plain, "cpu", torch.float64)
    got = run(scan, device, torch.float32)
    return max(((g - w).norm() / w.norm()).nan_to_num(torch.inf).item() for g, w in zip(got, want))


def choose(device, d_states=(16,)):
    """The fastest operations that agree with their definition on this device."""
    if torch.device(device).type == "cpu":
        return mamba1_ops.Ops("auto")
    error = max(scan_error(parallel_scan.selective_scan, device, n) for n in d_states)
    print(f"parallel scan: relative error {error:.1e}", flush=True)
    try:
        from . import scan_triton

        error = max(scan_error(scan_triton.selective_scan, device, n) for n in d_states)
        print(f"Triton scan: relative error {error:.1e}", flush=True)
        if error < CHECK_TOLERANCE:
            return GpuOps(scan_triton.selective_scan)
    except Exception as problem:
        print(f"Triton scan: {problem!r}")
    print("using the parallel scan in plain PyTorch", flush=True)
    return GpuOps(parallel_scan.selective_scan)
