"""The LTI twin of mamba1.Mamba1: the same blocks, but the recurrence does not depend on the input.

The mixer keeps in_proj, the causal convolution, the gate and out_proj. In place of the
selective scan stands S4D (Gu, Gupta, Goel, Re: "On the Parameterization and Initialization of
Diagonal State Space Models", 2022): per channel a diagonal complex SSM with zero-order hold.

  symbol in the paper   here
  Delta                 dt = exp(log_dt)                              [d_inner]
  A                     -exp(log_A_real) + i A_imag                   [d_inner, P]
  C                     C[..., 0] + i C[..., 1]                       [d_inner, P]
  B                     1 (C absorbs it)
  P = N / 2             pairs of conjugates: d_state = N real numbers per channel

  h[t] = exp(dt A) h[t-1] + (exp(dt A) - 1) / A  u[t]
  y[t] = 2 Re(sum over P of C h[t]) + D u[t]

and the output is y * silu(z). As a convolution, y = K * u + D u with
K[l] = 2 Re(sum of C (exp(dt A) - 1) / A exp(l dt A)). Initialised as S4D-Lin:
A = -1/2 + i pi n. The state plane "ssm" (B, N, d_inner) holds P rows of real parts, then P of
imaginary parts.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from .mamba1 import LanguageModel, MambaMixer, last_columns


class S4DMixer(nn.Module):
    def __init__(self, shape, ops):
        super().__init__()
        self.shape, self.ops = shape, ops
        d_inner, pairs = shape.d_inner, shape.d_state // 2
        self.in_proj = nn.Linear(shape.d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, shape.d_conv, groups=d_inner)
        self.log_dt = nn.Parameter(torch.empty(d_inner).uniform_(math.log(1e-3), math.log(1e-1)))
        self.log_A_real = nn.Parameter(torch.full((d_inner, pairs), math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(pairs).float().repeat(d_inner, 1))
        self.C = nn.Parameter(torch.randn(d_inner, pairs, 2) * math.sqrt(0.5))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, shape.d_model, bias=False)
        with torch.no_grad():
            self.out_proj.weight.div_(math.sqrt(shape.n_layer))

    def discrete(self):
        """The log of the decay of a step and the weight of its input, (d_inner, P) complex."""
        A = torch.complex(-torch.exp(self.log_A_real), self.A_imag)
        log_decay = A * torch.exp(self.log_dt)[:, None]
        return log_decay, (torch.exp(log_decay) - 1) / A

    def convolution(self, u):
        """y (B, L, d_inner) from an empty state, by the Fourier transform, without D u."""
        length = u.shape[1]
        log_decay, weight = self.discrete()
        steps = torch.arange(length, device=u.device)
        powers = torch.exp(log_decay[..., None] * steps)
        kernel = 2 * torch.einsum("cp,cpl->lc", torch.view_as_complex(self.C) * weight, powers).real
        spectrum = torch.fft.rfft(u, n=2 * length, dim=1) * torch.fft.rfft(kernel, n=2 * length, dim=0)
        return torch.fft.irfft(spectrum, n=2 * length, dim=1)[:, :length]

    def carried(self, u, ssm_state):
        """What the state before u adds to y, and the state after u."""
        length = u.shape[1]
        log_decay, weight = self.discrete()
        h = torch.complex(*ssm_state.chunk(2, dim=1))
        steps = torch.arange(length, device=u.device)
        powers = torch.exp(log_decay[..., None] * steps)
        C = torch.view_as_complex(self.C)
        decay = torch.exp(log_decay)[..., None]
        y = 2 * torch.einsum("cpl,bpc->blc", C[..., None] * decay * powers, h).real
        h = torch.exp(log_decay * length).t() * h
        h = h + torch.einsum("cpl,blc->bpc", weight[..., None] * powers.flip(2), u.to(powers.dtype))
        return y, torch.cat([h.real, h.imag], dim=1)

    def forward(self, hidden, state):
        """As MambaMixer.forward. While training, windows start from an empty state and the state
        after them is not computed."""
        conv_state, ssm_state = state
        x, z = self.in_proj(hidden).chunk(2, dim=-1)
        next_conv_state = last_columns(conv_state, x)
        u = self.ops.causal_conv_silu(x, self.conv1d.weight[:, 0].t(), self.conv1d.bias, conv_state)
        y = self.convolution(u) + self.D * u
        if not self.training:
            added, ssm_state = self.carried(u, ssm_state)
            y = y + added
        return self.out_proj(y * F.silu(z)), (next_conv_state, ssm_state)

    initial_state = MambaMixer.initial_state


def S4D(shape, ops):
    return LanguageModel(shape, ops, S4DMixer)
