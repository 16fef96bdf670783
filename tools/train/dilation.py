"""Training for long memory on short sequences.

A step of size dt followed by the same token again is nearly one step of size 2 dt. So a token
repeated r times is trained by multiplying its dt by r, at the cost of one token: sequences of
256 tokens show the recurrence what a million unimportant tokens do to its state. Tokens that
matter, and the few after them that the convolutions still mix with them, keep their dt.
"""
import contextlib
import math

import torch
import torch.nn.functional as F

SETTLE = 7  # tokens after one that matters: the reach of two convolutions of width 4, and one more
LEAST_DT = 1e-30  # in float32; its logarithm must be finite


def factors(landmarks, share, longest, generator):
    """landmarks (B, L): the tokens that matter. Returns r (B, L): 1 there; elsewhere one number
    per sequence, up to longest / L on a logarithmic scale for `share` of the sequences, else 1."""
    count, length = landmarks.shape
    recent = F.max_pool1d(F.pad(landmarks.float()[:, None], (SETTLE, 0)), SETTLE + 1, stride=1)[:, 0]

    def draw():
        return torch.rand(count, 1, generator=generator, device=landmarks.device)

    repeats = torch.exp2(draw() * math.log2(max(1.0, longest / length)))
    repeats = torch.where(draw() < share, repeats, torch.ones_like(repeats))
    return torch.where(recent > 0, torch.ones_like(recent), repeats)


class DilatedOps:
    """The operations of `inner`, with every dt multiplied by the factors (B, L) inside `dilated`."""

    def __init__(self, inner):
        self.inner, self.factors = inner, None

    @contextlib.contextmanager
    def dilated(self, factors):
        self.factors = factors
        try:
            yield
        finally:
            self.factors = None

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def dilate(self, dt):
        return dt if self.factors is None else dt * self.factors[..., None]

    def selective_scan(self, u, dt_raw, z, B, C, A, D, dt_bias, h0):
        if self.factors is not None:
            dt = self.dilate(F.softplus(dt_raw + dt_bias)).clamp_min(LEAST_DT)
            dt_raw = (dt + torch.log(-torch.expm1(-dt))).to(u.dtype)  # what softplus turns into dt
            dt_bias = torch.zeros_like(dt_bias)
        return self.inner.selective_scan(u, dt_raw, z, B, C, A, D, dt_bias, h0)
